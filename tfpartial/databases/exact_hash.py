"""A hash of a scan's voxels: the same scan under two names has the same.

In: a volume. Out: hex text. Guards the splits (tests/traps, trap 9).
"""

from __future__ import annotations

import hashlib

import numpy as np

from tfpartial.scans import Volume
from tfpartial.scans.orientation import closest_to_ras, split_affine

# Spacings are compared in steps that no usual spacing (0.5, 0.9765625, 2.7)
# lies half-way between: float32 noise of an affine must not flip a step.
_SPACING_STEP_MM = 0.01 * 2**0.5


def exact_hash(volume: Volume) -> str:
    """Hash voxels and spacing, whatever the order of the axes on disk.

    The array is flipped and permuted (never interpolated) to its closest
    RAS order, rounded to int16 HU. The origin does not count: copies are
    often re-centred.

    Args:
        volume: (I, J, K), HU. One acquired prone must carry the turned affine
            to equal a copy whose affine is already that of the patient.

    Returns:
        64 hex digits of sha256.

    Holds:
        LPS, RAS and PLI copies agree; one voxel changed by 1 HU does not.
    """
    directions, own_mm = split_affine(volume.affine)
    reordering = closest_to_ras(directions)
    array = reordering.apply(volume.array)
    spacing_mm = own_mm[list(reordering.order)]
    hu = np.empty(array.shape, "<i2")
    # Plane by plane: files run along i, the hash along k, and a whole scan
    # turned at once misses every cache.
    for j in range(array.shape[1]):
        hu[:, j] = _as_int16(array[:, j])
    steps = np.rint(spacing_mm / _SPACING_STEP_MM).astype(int)
    digest = hashlib.sha256(f"{hu.shape} {steps.tolist()} ".encode())
    digest.update(hu.data)
    return digest.hexdigest()


def _as_int16(array: np.ndarray) -> np.ndarray:
    """Return HU rounded to the nearest int16."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(array), limits.min, limits.max)
