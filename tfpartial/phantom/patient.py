"""Who lies on the couch: size, pose and a smooth deformation.

In: voxel coordinates of the scan in patient RAS mm, a random generator.
Out: coordinates in the frame of the standard pelvis, in which bones and
organs are placed (origin midway between the femoral heads).
"""

from __future__ import annotations

import numpy as np

from tfpartial.phantom.shapes import Points

# Distance of the control points of the deformation: longer than an organ is
# wide, so that anatomy bends but never folds.
CONTROL_MM = 75.0
DEFORMATION_SD_MM = 4.5


def voxel_positions(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Points:
    """Centred coordinates of every voxel, (x, y, z) float32 mm, RAS."""
    axes = [
        ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
        for size, spacing in zip(shape, spacing_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def standard_positions(
    points: Points,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> Points:
    """Map a patient's coordinates into the frame of the standard pelvis."""
    size = rng.normal(1.0, 0.045, 3).clip(0.9, 1.09)
    shift = rng.normal(0.0, (5.0, 4.0, 9.0)).clip(-18, 18)
    matrix = _rotation(np.deg2rad(rng.normal(0.0, (3.0, 1.5, 3.0))))
    matrix = (matrix / size[:, None]).astype(np.float32)
    moved = [
        axis - np.float32(offset)
        for axis, offset in zip(points, shift, strict=True)
    ]
    deformation = _smooth_field(points[0].shape, spacing_mm, rng)
    x, y, z = (
        sum(axis * c for axis, c in zip(moved, row, strict=True)) + bend
        for row, bend in zip(matrix, deformation, strict=True)
    )
    return x, y, z


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation about x, then y, then z; angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _smooth_field(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Displacement (3, I, J, K) float32 in mm, cubic between controls."""
    # Here: a training on phantoms that are there would wait for it, too.
    from scipy.interpolate import CubicSpline

    coarse = [
        int(np.ceil(size * spacing / CONTROL_MM)) + 1
        for size, spacing in zip(shape, spacing_mm, strict=True)
    ]
    controls = rng.normal(0.0, DEFORMATION_SD_MM, (3, *coarse))
    along_x, along_y, along_z = (
        CubicSpline(np.linspace(0, 1, number), np.eye(number))(
            np.linspace(0, 1, size)
        )
        for size, number in zip(shape, coarse, strict=True)
    )
    # einsum without BLAS: the same bits whatever the number of threads.
    field = np.einsum("ia,nabc->nibc", along_x, controls)
    field = np.einsum("jb,nibc->nijc", along_y, field).astype(np.float32)
    return np.einsum("kc,nijc->nijk", along_z.astype(np.float32), field)
