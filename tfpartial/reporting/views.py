"""Planes of a volume as a radiologist expects them, and their letters.

In: arrays (I, J, K) with an affine. Out: pictures (rows, columns) and what
lies at each edge of them: read from the affine, never assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.scans import Grid
from tfpartial.scans.orientation import (
    Reordering,
    closest_to_ras,
    split_affine,
)

# view -> (axis along columns, axis along rows, axis of the slice), RAS+.
VIEWS = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
_LETTERS = ("RL", "AP", "SI")


@dataclass(frozen=True)
class Edges:
    """Letters at the edges of a picture: R L, A P, S I of the patient."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True, eq=False)
class Frame:
    """A scan's grid with its axes ordered and flipped closest to RAS+.

    Nothing is resampled: an oblique scan is shown along its own axes.
    """

    source: Grid

    @property
    def grid(self) -> Grid:
        """The reordered grid."""
        return self._reordering().apply_to_grid(self.source)

    def reorder(self, array: np.ndarray) -> np.ndarray:
        """Return (I, J, K) of the source as a view with axes near RAS+."""
        return self._reordering().apply(array)

    def picture(
        self, reordered: np.ndarray, view: str, index: int
    ) -> np.ndarray:
        """Return one plane (rows, columns), radiological convention.

        Right of the patient is left in the picture, anterior is up (axial)
        or left (sagittal), the head is up: both axes of a RAS+ plane run
        against the picture's.

        Args:
            reordered: of `reorder`.
            view: axial, coronal or sagittal.
            index: along the slice axis of the reordered grid.
        """
        across, down, through = VIEWS[view]
        plane = np.take(reordered, index, axis=through)
        if across > down:
            plane = plane.T
        return plane.T[::-1, ::-1]

    def edges(self, view: str) -> Edges:
        """Return the letters of a view's edges."""
        across, down, _ = VIEWS[view]
        axes = self.grid.affine[:3, :3]
        return Edges(
            left=direction_letter(axes[:, across]),
            right=direction_letter(-axes[:, across]),
            top=direction_letter(axes[:, down]),
            bottom=direction_letter(-axes[:, down]),
        )

    def size_mm(self, view: str) -> tuple[float, float]:
        """Return width and height of a view's picture in mm."""
        across, down, _ = VIEWS[view]
        extent = np.multiply(self.grid.shape, self.grid.spacing_mm)
        return float(extent[across]), float(extent[down])

    def _reordering(self) -> Reordering:
        return closest_to_ras(split_affine(self.source.affine)[0])


def direction_letter(direction: np.ndarray) -> str:
    """Return the letter of the patient side a RAS+ direction points to.

    Example:
        (-0.9, 0.1, 0) -> 'L'
    """
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][0 if direction[axis] > 0 else 1]
