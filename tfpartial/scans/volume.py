"""An array that knows where its voxels are: `Volume`, and `Grid` without data.

In: arrays (I, J, K) and affines voxel -> RAS+ mm. Out: the same, checked.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfpartial.errors import InputError
from tfpartial.types import AffineForm

# Float32 headers move an origin by up to 3e-5 mm: less is no difference.
SAME_GRID_MM = 1e-3
# Two grids, or two forms of one header, that differ by less are one: share of
# the smallest spacing.
SAME_GRID_VOXELS = 0.1


def _checked_affine(affine: np.ndarray) -> np.ndarray:
    checked = np.array(affine, np.float64)
    if checked.shape != (4, 4):
        raise ValueError(f"affine: expected (4, 4), received {checked.shape}.")
    return checked


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel positions without values.

    Attributes:
        shape: (I, J, K).
        affine: (4, 4) float64, voxel index -> RAS+ mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        i, j, k = (int(n) for n in self.shape)
        object.__setattr__(self, "shape", (i, j, k))
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along I, J, K in mm."""
        return spacing_of(self.affine)


@dataclass(frozen=True)
class Placement:
    """What is declared of files that may place their voxels in several ways.

    Attributes:
        affine: which form decides where two disagree; None: refuse.
        grid_tolerance_mm: how far voxel centres of a scan and its label map
            may be apart; None: a tenth of the smallest spacing.
        orientation: where the voxel axes of a file without any orientation
            point, such as "LAS" (left, anterior, head); None: refuse.
    """

    affine: AffineForm | None = None
    grid_tolerance_mm: float | None = None
    orientation: str | None = None


UNDECLARED = Placement()


@dataclass(frozen=True, eq=False)
class Header:
    """What else the file of a volume says of its place in space.

    Attributes:
        decided_by: name of the form that the affine was taken from.
        other_affines: name of a form that did not decide -> its (4, 4).
        kept: what a writer of the same format writes again, unchanged; its
            repr says all of it.
        placement: as declared when the file was read; label maps on its grid
            are read alike.
        slope: of the scaling, stored * slope + intercept; None: none.
        intercept: of the scaling.
    """

    decided_by: str = "affine"
    other_affines: Mapping[str, np.ndarray] = field(default_factory=dict)
    kept: Hashable = None
    placement: Placement = UNDECLARED
    slope: float | None = None
    intercept: float = 0.0

    def rounding(self, largest: float) -> float:
        """Return how far scaling may have moved values.

        Half a step of the stored integers, where it is below half a unit:
        then whole numbers can still be told apart; and the rounding of slope
        and intercept to 32 bits.

        Args:
            largest: of the values' magnitudes.
        """
        if self.slope is None:
            return 0.0
        step = abs(self.slope) if abs(self.slope) < 0.5 else 0.0
        bits = float(np.finfo(np.float32).eps)
        return step / 2 + 2 * bits * (largest + abs(self.intercept))


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D array and its place in space.

    `dataclasses.replace(volume, array=...)` is another array on its voxels.

    Attributes:
        array: (I, J, K), nibabel's axis order.
        affine: (4, 4) float64, voxel index -> RAS+ mm, as the file says it.
        header: of the file that it was read from, or whose voxels it shares.
    """

    array: np.ndarray
    affine: np.ndarray
    header: Header = Header()

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(
                f"array: expected (I, J, K), received {self.array.shape}."
            )
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along I, J, K in mm."""
        return spacing_of(self.affine)

    @property
    def grid(self) -> Grid:
        """The grid that the array lies on."""
        return Grid(self.shape, self.affine)


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the lengths of an affine's three columns in mm."""
    x, y, z = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    return float(x), float(y), float(z)


def largest_distance_mm(
    shape: tuple[int, int, int], affine: np.ndarray, other: np.ndarray
) -> float:
    """Return how far two affines place one voxel centre apart, at most.

    The distance is a convex function of the index: it is largest at one of
    the eight corner voxels.

    Args:
        shape: (I, J, K).
        affine: (4, 4), voxel -> mm.
        other: (4, 4), likewise.
    """
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], [1]))
    apart = (affine - other)[:3] @ corners.reshape(4, -1)
    return float(np.linalg.norm(apart, axis=0).max())


def check_same_grid(
    image: Volume,
    labels: Volume,
    image_path: str | Path,
    labels_path: str | Path,
) -> float:
    """Refuse an image and a label map whose voxels are not the same ones.

    Args:
        image: the scan.
        labels: its label map.
        image_path: named in the message.
        labels_path: named in the message.

    Returns:
        How far two voxel centres of one index are apart at most, in mm.

    Raises:
        InputError: shapes differ, or voxel centres are further apart than the
            declared tolerance, by default a tenth of the smallest spacing
            (tests/traps, trap 8).
    """
    if image.shape != labels.shape:
        raise InputError(
            f"{labels_path}: expected the shape of its image {image_path}, "
            f"{image.shape}, found {labels.shape}. Export the label map on the "
            "image's own grid."
        )
    off = largest_distance_mm(image.shape, image.affine, labels.affine)
    declared = image.header.placement.grid_tolerance_mm
    limit = _tenth_mm(image) if declared is None else declared
    if not off <= limit:
        raise InputError(
            f"{labels_path}: expected the affine of its image {image_path}, "
            f"{image.affine[:3].round(4).tolist()}, found "
            f"{labels.affine[:3].round(4).tolist()} (voxel centres "
            f"up to {off:.4g} mm apart; {limit:.4g} mm are allowed). Export "
            "the label map on the image's own grid, or declare "
            "`grid_tolerance_mm` if it is on the same voxels."
            + _other_form(image, labels, image_path, labels_path)
        )
    return off


def _other_form(
    image: Volume,
    labels: Volume,
    image_path: str | Path,
    labels_path: str | Path,
) -> str:
    """Return a word about the form of either file that would fit, if any."""

    def fits(affine: np.ndarray, other: np.ndarray) -> bool:
        off = largest_distance_mm(image.shape, affine, other)
        return off <= _tenth_mm(image)

    for name, affine in image.header.other_affines.items():
        if fits(affine, labels.affine):
            return (
                f" It lies where the {name} of {image_path} says, which is "
                f"read by its {image.header.decided_by}: declare `affine: "
                f"{name}` if that one is right."
            )
    for name, affine in labels.header.other_affines.items():
        if fits(image.affine, affine):
            return (
                f" The {name} of {labels_path} would fit; it is read by its "
                f"{labels.header.decided_by}: correct the header."
            )
    return ""


def _tenth_mm(volume: Volume) -> float:
    return SAME_GRID_VOXELS * min(volume.spacing_mm)
