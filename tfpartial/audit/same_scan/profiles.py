"""Which scans could be the same: a cheap question, asked of all pairs.

In: arrays. Out: distances of plane profiles; small where one scan is a part of
the other. A crop, another grid or another order of axes keeps a profile, or a
piece of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from tfpartial.audit.coarse import BODY_HU

CHANNELS = 4
# Planes with less body say nothing.
MIN_BODY_VOXELS = 40
BONE_HU = 200.0
FAT_HU = (-150.0, -30.0)
# Weighs shares in [0, 1] like HU.
SHARE_SCALE = 300.0
# Shorter pieces fit nearly anywhere.
MIN_PLANES = 12

Profiles = tuple[np.ndarray, np.ndarray, np.ndarray]


def plane_profiles(hu: np.ndarray) -> Profiles:
    """Return what the body consists of, plane by plane along each axis.

    Mean and deviation of HU within -200 .. 300, shares of bone and of fat
    (times 300): all relative to the body in the plane, so that a crop through
    air changes nothing.

    Args:
        hu: (I, J, K), HU.

    Returns:
        Along each axis (n, 4) float64; NaN where a plane holds hardly any
        body.
    """
    body = hu > BODY_HU
    values = np.where(body, hu.clip(-200, 300), 0).astype(np.float64)
    bone = (hu > BONE_HU) & body
    fat = (hu > FAT_HU[0]) & (hu < FAT_HU[1])
    profiles = []
    for axis in range(3):
        across = tuple(a for a in range(3) if a != axis)
        count = body.sum(across)
        known = np.where(count < MIN_BODY_VOXELS, np.nan, count)
        mean = values.sum(across) / known
        square = (values**2).sum(across) / known
        profiles.append(
            np.stack(
                [
                    mean,
                    np.sqrt((square - mean**2).clip(0)),
                    SHARE_SCALE * bone.sum(across) / known,
                    SHARE_SCALE * fat.sum(across) / known,
                ],
                axis=1,
            )
        )
    return profiles[0], profiles[1], profiles[2]


def profile_distances(scans: Sequence[Profiles]) -> np.ndarray:
    """Return how well each scan's profiles fit on each other's, anywhere.

    Formula (o an offset, n >= 12 planes that both know):
        min over o of  1/n sum over planes p, channels c of
            (a[p, c] - b[p - o, c])^2

    Args:
        scans: N times what `plane_profiles` returned; all in one unit (mm
            along the axes, or voxels).

    Returns:
        (N, N, 3, 3, 2) float32: scan, scan, axis of the first, axis of the
        second, second forwards or backwards; inf where less overlaps.
    """
    longest = max(len(profile) for scan in scans for profile in scan)
    size = fft.next_fast_len(2 * longest, True)
    spectra, squares, masks = _transform(scans, size)
    number = len(scans)
    distances = np.full((number, number, 3, 3, 2), np.inf, np.float32)
    for i in range(number):
        for axis in range(3):
            one = spectra[i, axis], squares[i, axis], masks[i, axis]
            for backwards in (0, 1):
                distances[i, :, axis, :, backwards] = _fit(
                    *one, spectra, squares, masks, bool(backwards), size
                )
    return distances


def _transform(
    scans: Sequence[Profiles], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spectra of values (N, 3, 4, F), squared sums and masks."""
    values = np.zeros((len(scans), 3, CHANNELS, size))
    known = np.zeros((len(scans), 3, size))
    for number, scan in enumerate(scans):
        for axis, profile in enumerate(scan):
            valid = np.isfinite(profile).all(axis=1)
            known[number, axis, : len(profile)] = valid
            values[number, axis, :, : len(profile)] = np.where(
                valid[:, None], profile, 0
            ).T
    return (
        fft.rfft(values),
        fft.rfft((values**2).sum(axis=2)),
        fft.rfft(known),
    )


def _fit(
    spectrum: np.ndarray,
    square: np.ndarray,
    mask: np.ndarray,
    spectra: np.ndarray,
    squares: np.ndarray,
    masks: np.ndarray,
    backwards: bool,
    size: int,
) -> np.ndarray:
    """Return (N, 3): one profile against all profiles of all scans."""
    if not backwards:
        # Correlation; the product without conjugation is the correlation
        # with the reversed sequence.
        spectra, squares, masks = spectra.conj(), squares.conj(), masks.conj()
    planes = fft.irfft(mask * masks, size)
    cross = (spectrum * spectra).sum(axis=2)
    total = fft.irfft(square * masks + mask * squares - 2 * cross, size)
    enough = planes > MIN_PLANES - 0.5
    fitted = np.where(enough, total.clip(0) / planes.clip(1), np.inf)
    return fitted.min(axis=-1).astype(np.float32)
