"""Where one frame lies: position, orientation, pixel spacing.

In: data sets of images and segmentations. Out: `Plane`s, checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from tfpartial.dicom.reading import UnusableError, first_item, numbers

MAX_POSITION_MM = 1e6
SPACING_LIMITS_MM = (0.001, 1000.0)
# Direction cosines have 6 digits at least; worse, and something else is there.
COSINE_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Plane:
    """The place of a frame.

    Attributes:
        position: (3,) centre of pixel (0, 0), LPS+ mm.
        axes: (2, 3) unit vectors along a row (I) and a column (J), LPS+.
        spacing: (2,) PixelSpacing: mm between rows (J), between columns (I).
    """

    position: np.ndarray
    axes: np.ndarray
    spacing: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """Unit normal (3,): row x column."""
        normal = np.cross(self.axes[0], self.axes[1])
        return normal / np.linalg.norm(normal)


def groups_of(
    own: Dataset, shared: Dataset, keywords: Sequence[str]
) -> list[Dataset]:
    """Return functional groups of a frame: its own, else the shared ones."""
    return [first_item(own, k) or first_item(shared, k) for k in keywords]


def read_plane(position: Dataset, axes: Dataset, spacing: Dataset) -> Plane:
    """Return a plane from the data sets that hold its three elements.

    Raises:
        UnusableError: one is missing, absurd, or no orientation.
        ValueError: not numbers.
    """
    plane = Plane(
        _needed(position, "ImagePositionPatient", 3),
        _unit_vectors(_needed(axes, "ImageOrientationPatient", 6)),
        _needed(spacing, "PixelSpacing", 2),
    )
    if np.abs(plane.position).max() > MAX_POSITION_MM:
        raise UnusableError("an ImagePositionPatient beyond a kilometre")
    low, high = SPACING_LIMITS_MM
    if plane.spacing.min() < low or plane.spacing.max() > high:
        raise UnusableError(f"a PixelSpacing outside {low} to {high:g} mm")
    return plane


def _needed(dataset: Dataset, keyword: str, count: int) -> np.ndarray:
    values = numbers(dataset, keyword, count)
    if values is None:
        raise UnusableError(f"no {keyword}")
    return values


def _unit_vectors(orientation: np.ndarray) -> np.ndarray:
    axes = orientation.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if (
        np.abs(lengths - 1).max() > COSINE_TOLERANCE
        or abs(axes[0] @ axes[1]) > COSINE_TOLERANCE
    ):
        raise UnusableError(
            "an ImageOrientationPatient of other than two unit vectors at "
            "right angles"
        )
    return axes / lengths[:, np.newaxis]
