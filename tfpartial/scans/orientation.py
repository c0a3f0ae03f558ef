"""Voxel axes against the patient's axes: directions, turning, reordering.

In: affines voxel -> RAS+ mm. Out: clean directions and spacing, the order and
flips that bring an array closest to RAS+, and the way back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tfpartial.errors import InputError
from tfpartial.scans.volume import Grid

# Below this, a direction cosine is the rounding of a header, not an angle:
# 1e-5 over 500 mm is 5 micrometres.
ALIGNED_TOLERANCE = 1e-5
# Of directions at right angles, after rounding was removed.
RIGHT_ANGLE_TOLERANCE = 1e-9
# Axes flatter than this span no volume: the smallest stretch of unit axes.
MIN_STRETCH = 1e-3
SPACING_LIMITS_MM = (1e-3, 1e3)


def split_affine(
    affine: np.ndarray, name: str = "the scan"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions and the spacing of an affine.

    Float noise is removed, so that two stored copies of one scan give the
    same numbers: directions that miss right angles by less than 1e-5 become
    the nearest rotation or reflection (polar decomposition), and exactly axis
    aligned within 1e-5. Directions of a sheared affine (a tilted gantry) are
    kept as they are.

    Formula:
        affine[:3, :3] = directions @ diag(spacing)

    Args:
        affine: (4, 4), voxel -> RAS+ mm.
        name: what the message calls the scan, usually its path.

    Returns:
        directions (3, 3) float64, columns are the voxel axes, of length 1;
        spacing (3,) mm.

    Raises:
        InputError: not finite, singular, or a spacing outside 0.001 .. 1000
            mm.
    """
    matrix = np.asarray(affine, np.float64)[:3]
    found = f"found {matrix.round(4).tolist()}"
    if not np.isfinite(matrix).all():
        raise InputError(
            f"{name}: expected an affine of finite numbers, {found}. Write the "
            "header again from the original scan."
        )
    with np.errstate(over="ignore"):
        spacing = np.linalg.norm(matrix[:, :3], axis=0)
    low, high = SPACING_LIMITS_MM
    if not ((spacing >= low) & (spacing <= high)).all():
        raise InputError(
            f"{name}: expected voxel spacings of {low} to {high:g} mm, found "
            f"{spacing.tolist()} mm. Correct the header (units are mm)."
        )
    directions = matrix[:, :3] / spacing
    left, stretch, right = np.linalg.svd(directions)
    nearest = left @ right
    if stretch[-1] < MIN_STRETCH:
        raise InputError(
            f"{name}: expected an invertible affine, {found}. Write the header "
            "again from the original scan."
        )
    if np.abs(directions - nearest).max() > ALIGNED_TOLERANCE:
        return directions, spacing.round(9)
    rounded = nearest.round()
    if np.abs(nearest - rounded).max() < ALIGNED_TOLERANCE:
        nearest = rounded
    return nearest, spacing.round(9)


def invert_directions(directions: np.ndarray) -> np.ndarray:
    """Return the inverse of directions (`split_affine`).

    Where they are at right angles it is their transpose, to the last bit.
    """
    off = np.abs(directions.T @ directions - np.eye(3)).max()
    if off < RIGHT_ANGLE_TOLERANCE:
        return directions.T
    return np.linalg.inv(directions)


def shear_degrees(affine: np.ndarray, name: str = "the scan") -> float:
    """Return by how much two voxel axes miss a right angle at most.

    Args:
        affine: (4, 4), voxel -> RAS+ mm.
        name: what the message calls the scan, usually its path.

    Returns:
        degrees; 0 where it is the rounding of a header.

    Raises:
        InputError: as `split_affine`.
    """
    directions, _ = split_affine(affine, name)
    cosine = np.abs(directions.T @ directions - np.eye(3)).max()
    if cosine < RIGHT_ANGLE_TOLERANCE:
        return 0.0
    return float(np.degrees(np.arcsin(min(cosine, 1.0))))


def tilt_line(name: str, degrees: float) -> str:
    """Return what is told of a scan that is resampled from a sheared grid.

    Args:
        name: what messages call the scan.
        degrees: of `shear_degrees`.
    """
    return (
        f"{name}: voxel axes are {degrees:.3g} degrees off right angles "
        "(gantry tilt): resampled from the tilted grid, labels go back onto it"
    )


def turn_prone(affine: np.ndarray) -> np.ndarray:
    """Turn a scan by 180 degrees about its long axis: prone to supine.

    Only for scans whose affine does not know that the patient lies prone: both
    axes are turned together, otherwise left and right would swap.

    Formula:
        diag(-1, -1, 1, 1) @ affine

    Args:
        affine: (4, 4), voxel -> RAS+ mm.

    Returns:
        (4, 4) float64.
    """
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, np.float64)


@dataclass(frozen=True)
class Reordering:
    """The order and flips of voxel axes that come closest to RAS+.

    Attributes:
        order: order[w] is the voxel axis that runs along world axis w.
        flipped: flipped[w], whether it runs against it.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return the array (I, J, K) with axes closest to RAS+ (a view)."""
        flips = tuple(slice(None, None, -1 if f else 1) for f in self.flipped)
        return array.transpose(self.order)[flips]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """Return an array that `apply` reordered in its own axes (a view)."""
        flips = tuple(slice(None, None, -1 if f else 1) for f in self.flipped)
        return array[flips].transpose(np.argsort(self.order))

    def apply_to_grid(self, grid: Grid) -> Grid:
        """Return the grid of `apply(array)`."""
        change = np.zeros((4, 4))
        change[3, 3] = 1.0
        for world, voxel in enumerate(self.order):
            flip = self.flipped[world]
            change[voxel, world] = -1.0 if flip else 1.0
            change[voxel, 3] = grid.shape[voxel] - 1 if flip else 0.0
        i, j, k = (grid.shape[axis] for axis in self.order)
        return Grid((i, j, k), grid.affine @ change)


def closest_to_ras(directions: np.ndarray) -> Reordering:
    """Return the reordering that brings voxel axes closest to RAS+.

    Args:
        directions: (3, 3), columns are the voxel axes (`split_affine`).
    """

    def agreement(order: tuple[int, ...]) -> float:
        return sum(abs(directions[w, v]) for w, v in enumerate(order))

    a, b, c = max(itertools.permutations(range(3)), key=agreement)
    flips = [bool(directions[w, v] < 0) for w, v in enumerate((a, b, c))]
    return Reordering((a, b, c), (flips[0], flips[1], flips[2]))
