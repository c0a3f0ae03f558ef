"""The boxes of a patch in its scan: where it starts, and what it reads.

In: centre, shapes, affine, in voxels. Out: start and shape in voxels.
numpy only.
"""

from __future__ import annotations

import numpy as np


def clamp_start(
    centre: np.ndarray, scan_shape: np.ndarray, patch_shape: np.ndarray
) -> np.ndarray:
    """Return the first voxel of a patch around `centre`, kept in the scan.

    Formula:
        start = clip(centre - P//2, 0, N - P)   where N >= P
        start = (N - P) // 2  (negative)        where N < P

    Args:
        centre: (3,) int, voxels.
        scan_shape: (3,) int, N.
        patch_shape: (3,) int, P.

    Returns:
        (3,) int64.
    """
    room = np.asarray(scan_shape, np.int64) - patch_shape
    clamped = np.clip(centre - np.asarray(patch_shape) // 2, 0, room.clip(0))
    return np.where(room >= 0, clamped, room // 2).astype(np.int64)


def source_box(
    matrix: np.ndarray, centre: np.ndarray, patch_shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return start and shape of the voxels a turned patch interpolates.

    Formula:
        output voxel p of the patch lies at  x = centre + M (p - (n - 1)/2),
        so |x - centre| <= |M| (n - 1)/2 per axis; trilinear interpolation
        reads floor(x) and floor(x) + 1.

    It is the box of the affine that was drawn, not of the largest one allowed:
    a patch of 64^3 reads 1.5 times its voxels on average at 10 degrees and
    scale 0.1, where the largest margin would read 2.5 times.

    Args:
        matrix: (3, 3) float, M, output voxels -> scan voxels.
        centre: (3,) float, centre of the patch in the scan's voxels.
        patch_shape: (3,) int, n.

    Returns:
        (start, shape), (3,) int64 each.
    """
    half = np.abs(matrix) @ ((np.asarray(patch_shape) - 1) / 2)
    # One voxel more on each side: the gather works in float32.
    start = np.floor(centre - half).astype(np.int64) - 1
    stop = np.floor(centre + half).astype(np.int64) + 3
    return start, stop - start
