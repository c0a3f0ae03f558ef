"""Scans on a coarse canonical grid, and how alike two of them are.

In: volumes. Out: small float32 arrays near RAS+; the best correlation of two
over all translations. Everything that compares whole scans starts here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from tfpartial.scans import Volume, canonical_grid, resample_image

COARSE_MM = 6.0
AIR_HU = -1000.0
BODY_HU = -500.0
# Beyond these limits metal and lung would outweigh all other structure.
FEATURE_HU = (-300.0, 400.0)
# Structure between these sizes tells patients apart; what is larger, all
# heads share, and what is smaller, resampling changes.
FINE_MM, BROAD_MM = 4.0, 14.0
NEARLY_WHOLE = 0.8


def coarse_copy(volume: Volume, spacing_mm: float = COARSE_MM) -> np.ndarray:
    """Return a scan on an axis-aligned RAS+ grid, without aliasing.

    Blocks of voxels that fit into the new spacing are averaged, the rest is
    smoothed by half a new voxel, then sampled linearly.

    Args:
        volume: (I, J, K), HU, any orientation.
        spacing_mm: of the new grid, the same along all axes.

    Returns:
        (i, j, k) int16, HU, clipped to -1000 .. 3000.
    """
    small = block_means(
        volume, [max(1, int(spacing_mm / mm)) for mm in volume.spacing_mm]
    )
    sigmas = [
        max(0.0, 0.5 * spacing_mm / mm - 0.3) if mm < spacing_mm else 0.0
        for mm in small.spacing_mm
    ]
    smooth = ndimage.gaussian_filter(small.array, sigmas, mode="nearest")
    three = (spacing_mm, spacing_mm, spacing_mm)
    grid = canonical_grid(small.shape, small.affine, three)
    hu = resample_image(Volume(smooth, small.affine), grid, AIR_HU)
    return np.rint(hu).clip(-1000, 3000).astype(np.int16)


def block_means(volume: Volume, factors: list[int]) -> Volume:
    """Average blocks of voxels; a rest at the far end is left out.

    Args:
        volume: (I, J, K), HU.
        factors: voxels of a block along I, J, K; at most the shape.

    Returns:
        Volume of float32, clipped to -1000 .. 3000 HU before averaging.
    """
    sides = [min(f, n) for f, n in zip(factors, volume.shape, strict=True)]
    counts = [n // f for n, f in zip(volume.shape, sides, strict=True)]
    kept = volume.array[
        tuple(slice(c * f) for c, f in zip(counts, sides, strict=True))
    ]
    (i, j, k), (a, b, c) = counts, sides
    clipped = kept.astype(np.float32).clip(AIR_HU, 3000)
    means = clipped.reshape(i, a, j, b, k, c).mean((1, 3, 5))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(sides) - 1) / 2)
    affine[:3, :3] *= sides
    return Volume(means, affine)


@dataclass(frozen=True, eq=False)
class Features:
    """What of a coarse scan is compared.

    Attributes:
        values: (i, j, k) float32, 0 outside of the body.
        body: (i, j, k) bool.
    """

    values: np.ndarray
    body: np.ndarray

    def turn(self, order: tuple[int, ...], flips: tuple[bool, ...]) -> Features:
        """Return the same with axes permuted, then some of them reversed."""
        cut = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
        return Features(
            self.values.transpose(order)[cut], self.body.transpose(order)[cut]
        )


def fine_features(
    hu: np.ndarray,
    spacing_mm: float = COARSE_MM,
    fine_mm: float = FINE_MM,
    broad_mm: float = BROAD_MM,
) -> Features:
    """Return structure of 4 to 14 mm within the body: what makes a patient.

    Formula:
        (G(fine) - G(broad)) * clip(hu, -300, 400), inside the eroded body

    Args:
        hu: (i, j, k), HU.
        spacing_mm: of the grid.
        fine_mm: sigma of the finer Gaussian.
        broad_mm: sigma of the broader one.
    """
    clipped = hu.astype(np.float32).clip(*FEATURE_HU)
    band = ndimage.gaussian_filter(clipped, fine_mm / spacing_mm)
    band -= ndimage.gaussian_filter(clipped, broad_mm / spacing_mm)
    body = ndimage.binary_erosion(hu > BODY_HU)
    return Features(band * body, body)


@dataclass(frozen=True)
class Match:
    """The best translation of one scan onto another.

    Attributes:
        correlation: in [-1, 1]; -1 where they cannot overlap enough.
        overlap: share of the smaller body that lies on the other.
        shift: (3,) voxels to add to an index of the second scan.
    """

    correlation: float
    overlap: float
    shift: tuple[int, int, int]


def best_match(
    a: Features, b: Features, min_overlap: float = 0.25, min_common: int = 0
) -> Match:
    """Return the translation at which two scans correlate best.

    Formula (sums over the voxels where both bodies lie):
        r(t) = sum a(x) b(x - t) / sqrt(sum a(x)^2 sum b(x - t)^2)

    computed for all t at once by Fourier transforms. The values have no local
    mean (`fine_features`), so none is subtracted.

    Args:
        a: of one scan.
        b: of another, on the same spacing.
        min_overlap: share of the smaller body that must overlap.
        min_common: voxels that must overlap; of a body that has hardly more,
            four fifths.

    Returns:
        Match; correlation -1 if one of them has no body.
    """
    smaller = min(int(a.body.sum()), int(b.body.sum()))
    if smaller == 0:
        return Match(-1.0, 0.0, (0, 0, 0))
    needed = max(min_overlap * smaller, min(min_common, NEARLY_WHOLE * smaller))
    shape = [
        fft.next_fast_len(n + m - 1, True)
        for n, m in zip(a.values.shape, b.values.shape, strict=True)
    ]

    def forward(values: np.ndarray) -> np.ndarray:
        return fft.rfftn(values.astype(np.float32), shape)

    one, one_body = forward(a.values), forward(a.body)
    other, other_body = forward(b.values).conj(), forward(b.body).conj()
    one_square = forward(a.values**2)
    other_square = forward(b.values**2).conj()
    both = fft.irfftn(one_body * other_body, shape)
    product = fft.irfftn(one * other, shape)
    norm_a = fft.irfftn(one_square * other_body, shape).clip(1.0)
    norm_b = fft.irfftn(one_body * other_square, shape).clip(1.0)
    r = np.where(both >= needed, product / np.sqrt(norm_a * norm_b), -1.0)
    peak = np.unravel_index(int(r.argmax()), r.shape)
    i, j, k = (
        int(p) if p < n else int(p) - s
        for p, n, s in zip(peak, a.values.shape, shape, strict=True)
    )
    return Match(
        float(r[peak].clip(-1, 1)), float(both[peak]) / smaller, (i, j, k)
    )
