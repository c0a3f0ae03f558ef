"""Where the scan and the annotation of one case come from, and how to read it.

In: the places that a layout names. Out: voxels on the scan's own grid. Who
needs a case's voxels or files asks its source: nobody else knows what they
are stored as (docs/extending/layout.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tfpartial.errors import Faults, InputError, join_names
from tfpartial.scans import (
    Placement,
    Volume,
    check_same_grid,
    count_values,
    read_image,
    read_labels,
)

SCAN = "scan"  # the role of the files that hold the HU
# What `Faults.note` calls the mm between a scan's grid and its annotation's.
GRID_OFF = "grid_off_mm"


def remedy_for(structure: object) -> str:
    """Return what to do about structures that `values` leaves out."""
    return (
        f"Map '{structure}' to a label, to 'ignore' or to 'background' under "
        f"'values'; or say what all that are not listed there mean by "
        f"'others: background', 'others: ignore' or 'others: not_annotated'."
    )


class ImageSource(Protocol):
    """One scan."""

    @property
    def name(self) -> str:
        """What messages call the scan: its path."""

    @property
    def files(self) -> Mapping[str, Collection[Path]]:
        """Role -> every file that the case is made of; `SCAN` is always one.

        Messages and fingerprints name files by role: "label map", "mask of
        'liver'".
        """

    def read_image(self) -> Volume:
        """Return the scan, (I, J, K) HU.

        Raises:
            InputError: unreadable.
        """


class ScanSource(ImageSource, Protocol):
    """One scan with its annotation; travels to worker processes."""

    @property
    def absent(self) -> Mapping[str, Path | None]:
        """Keys of `values` whose structure has no annotation here.

        And what seems to be its annotation, where it cannot be read from.
        """

    @property
    def undeclared(self) -> Mapping[str, Path]:
        """Annotated structures that `values` leaves out -> where they are."""

    def read_codes(
        self,
        image: Volume,
        code_of: Mapping[str, int],
        others: int | None,
        faults: Faults,
    ) -> np.ndarray:
        """Return the stored code of each voxel.

        Args:
            image: of `read_image`.
            code_of: key of `values` -> code; where structures overlap, the
                later one wins. A key that is left out means 0.
            others: code of structures that `values` leaves out, below all
                others; None: they are a fault.
            faults: receives those of the annotation; what could not be read
                is 0.

        Returns:
            (I, J, K) uint8 on the grid of the image.
        """

    def read_field_of_view(
        self, image: Volume, faults: Faults
    ) -> np.ndarray | None:
        """Return (I, J, K) bool, where the annotators looked.

        None: everywhere, or unreadable (a fault).
        """


@dataclass(frozen=True)
class ScanFile:
    """A scan that is one file, without an annotation.

    Attributes:
        path: the file.
        placement: what is declared of ambiguous headers.
    """

    path: Path
    placement: Placement = Placement()

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def files(self) -> dict[str, list[Path]]:
        """The one file."""
        return {SCAN: [self.path]}

    def read_image(self) -> Volume:
        """Return the scan, (I, J, K) HU."""
        return read_image(self.path, self.placement)


@dataclass(frozen=True, kw_only=True)
class _AnnotatedFile(ScanFile):
    """A scan with annotation files.

    Attributes:
        field_of_view: mask of where the annotators looked; None: everywhere.
        absent: key of `values` without an annotation -> what seems to be it.
        undeclared: structure that `values` leaves out -> its file.
    """

    field_of_view: Path | None = None
    absent: Mapping[str, Path | None] = field(default_factory=dict)
    undeclared: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, list[Path]]:
        """Scan and field of view."""
        files = super().files
        if self.field_of_view is not None:
            files["field of view"] = [self.field_of_view]
        return files

    def read_field_of_view(
        self, image: Volume, faults: Faults
    ) -> np.ndarray | None:
        """Return (I, J, K) bool, or None: everywhere, or unreadable."""
        if self.field_of_view is None:
            return None
        return self._read_mask(self.field_of_view, image, faults)

    def _read_labels(
        self, path: Path, image: Volume, faults: Faults
    ) -> np.ndarray | None:
        """Return integers on the scan's grid, or None after adding a fault."""
        try:
            labels = read_labels(path, self.placement)
            off_mm = check_same_grid(image, labels, self.path, path)
        except InputError as error:
            faults.add(error)
            return None
        faults.note(GRID_OFF, off_mm)
        return labels.array

    def _read_mask(
        self, path: Path, image: Volume, faults: Faults
    ) -> np.ndarray | None:
        """Return a (I, J, K) bool mask, or None after adding a fault.

        Any one value besides 0 means inside: masks of 0 and 255 are common.
        """
        labels = self._read_labels(path, image, faults)
        if labels is None:
            return None
        mask = labels != 0
        inside = labels[mask]
        if inside.size and (inside != inside[0]).any():
            faults.add(
                f"{path}: expected a binary mask (0 and one other value), "
                f"found the values {join_names(np.unique(labels).tolist())}. "
                f"Give each structure a mask of its own, or use layout "
                f"'label_map_folder'."
            )
            return None
        return mask


@dataclass(frozen=True, kw_only=True)
class LabelMapFile(_AnnotatedFile):
    """A scan and one label map of stored integers.

    Attributes:
        label_map: the file.
        integer_of: key of `values` -> integer in the file.
    """

    label_map: Path
    integer_of: Mapping[str, int]

    @property
    def files(self) -> dict[str, list[Path]]:
        """Scan, label map and field of view."""
        return super().files | {"label map": [self.label_map]}

    def read_codes(
        self,
        image: Volume,
        code_of: Mapping[str, int],
        others: int | None,
        faults: Faults,
    ) -> np.ndarray:
        """Return (I, J, K) uint8: the code of each voxel's integer."""
        labels = self._read_labels(self.label_map, image, faults)
        if labels is None:
            return np.zeros(image.shape, np.uint8)
        declared = {0: 0}
        for key, integer in self.integer_of.items():
            declared[integer] = code_of.get(key, 0)
        present = _present_values(labels)
        undeclared = sorted(present - declared.keys())
        if others is not None:
            declared |= dict.fromkeys(undeclared, others)
        elif undeclared:
            counts = [
                f"{v} ({int((labels == v).sum())} voxels)" for v in undeclared
            ]
            faults.add(
                f"{self.label_map}: expected the stored values that its "
                f"database declares, {join_names(sorted(declared))}, found "
                f"{join_names(counts)}. {remedy_for(undeclared[0])} Or exclude "
                f"the case."
            )
        return _look_up(labels, {v: declared.get(v, 0) for v in present})


@dataclass(frozen=True, kw_only=True)
class MaskFiles(_AnnotatedFile):
    """A scan and one binary mask per structure.

    Attributes:
        masks: key of `values` -> its file.
        others: further structure -> its file, all of one meaning.
    """

    masks: Mapping[str, Path]
    others: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, list[Path]]:
        """Scan, masks and field of view."""
        return super().files | {
            f"mask of '{structure}'": [path]
            for structure, path in [*self.masks.items(), *self.others.items()]
        }

    def read_codes(
        self,
        image: Volume,
        code_of: Mapping[str, int],
        others: int | None,
        faults: Faults,
    ) -> np.ndarray:
        """Return (I, J, K) uint8: masks painted one over the other."""
        codes = np.zeros(image.shape, np.uint8)
        painted = [(path, others or 0) for path in self.others.values()]
        painted += [
            (self.masks[key], code)
            for key, code in code_of.items()
            if key in self.masks
        ]
        for path, code in painted:
            mask = self._read_mask(path, image, faults)
            if mask is not None:
                codes[mask] = code
        return codes


def _present_values(labels: np.ndarray) -> set[int]:
    """Return the integers that a label map holds."""
    if labels.dtype == np.uint8:
        return set(np.flatnonzero(count_values(labels, 256)).tolist())
    # Slice by slice: np.unique of a whole scan sorts it, and copies it.
    present: set[int] = set()
    for k in range(labels.shape[2]):
        present.update(np.unique(labels[..., k]).tolist())
    return present


def _look_up(labels: np.ndarray, code_of: dict[int, int]) -> np.ndarray:
    """Replace every integer by its code; all integers must be in the dict."""
    known = np.array(sorted(code_of))
    codes = np.array([code_of[v] for v in known.tolist()], np.uint8)
    if labels.dtype == np.uint8:
        table = np.zeros(256, np.uint8)
        table[known] = codes
        return table[labels]
    return codes[np.searchsorted(known, labels)]
