"""An array that knows where its voxels are: `Volume`, and `Grid` without data.

In: arrays (I, J, K) and affines voxel -> RAS+ mm. Out: the same, checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpartial.errors import InputError

# Float32 headers move an origin by up to 3e-5 mm; real shifts are larger.
SAME_GRID_TOLERANCE_MM = 1e-3


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


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D array and its place in space.

    Attributes:
        array: (I, J, K), nibabel's axis order.
        affine: (4, 4) float64, voxel index -> RAS+ mm, as the file says it.
    """

    array: np.ndarray
    affine: np.ndarray

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


def check_same_grid(
    image: Volume,
    labels: Volume,
    image_path: str | Path,
    labels_path: str | Path,
) -> None:
    """Refuse an image and a label map whose voxels are not the same ones.

    Args:
        image: the scan.
        labels: its label map.
        image_path: named in the message.
        labels_path: named in the message.

    Raises:
        InputError: shapes differ, or an entry of the affines differs by more
            than 1e-3 mm (tests/traps, trap 8).
    """
    if image.shape != labels.shape:
        raise InputError(
            f"{labels_path}: expected the shape of its image {image_path}, "
            f"{image.shape}, found {labels.shape}. Export the label map on the "
            "image's own grid."
        )
    off = float(np.abs(image.affine - labels.affine).max())
    if off > SAME_GRID_TOLERANCE_MM:
        raise InputError(
            f"{labels_path}: expected the affine of its image {image_path}, "
            f"{image.affine[:3].round(4).tolist()}, found "
            f"{labels.affine[:3].round(4).tolist()} (off by {off:.4g} mm; "
            f"{SAME_GRID_TOLERANCE_MM} mm is allowed). Export the label map on "
            "the image's own grid."
        )
