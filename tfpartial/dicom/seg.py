"""Segmentations (DICOM SEG): frames to masks on the grid of their CT.

In: a segmentation and its image. Out: boolean masks, made when asked for.

Where a frame lies is what its position and orientation say, never its number.
Frames that are not there are empty. Segments may overlap: each is a mask of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom import Dataset

from tfpartial.dicom.geometry import LPS_TO_RAS, affine_of
from tfpartial.dicom.pixels import (
    FrameReader,
    PixelFormat,
    check_size,
    pixel_format,
)
from tfpartial.dicom.planes import Plane, groups_of, read_plane
from tfpartial.dicom.reading import (
    PixelsAt,
    UnusableError,
    explain_damage,
    first_item,
    number,
    read_header,
    text,
)
from tfpartial.dicom.series import MAX_VOXELS, Series
from tfpartial.errors import InputError, join_names, shown
from tfpartial.scans import Grid, Volume

WHAT = "a segmentation (DICOM SEG)"
# Centres of pixels may lie so far from those of the image's voxels, in voxels.
MAX_OFF_GRID = 0.1
# Frames may be farther apart than slices by this factor; else some are left
# out between them.
MAX_STEP = 1.5
_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "SegmentIdentificationSequence",
)
_KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


@dataclass(frozen=True)
class Segment:
    """One segment: SegmentNumber and SegmentLabel."""

    number: int
    name: str


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame's place, and the segment it shows; None: all (LABELMAP)."""

    index: int
    segment: int | None
    plane: Plane


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of one file, on the grid of one image.

    Attributes:
        path: of the file.
        kind: "BINARY", "FRACTIONAL" or "LABELMAP".
        segments: in the file's order; background (number 0) left out.
        grid: of the image.
    """

    path: Path
    kind: str
    segments: tuple[Segment, ...]
    grid: Grid
    _form: PixelFormat = field(repr=False)
    _at: PixelsAt = field(repr=False)
    _frames: tuple[_Frame, ...] = field(repr=False)
    _full: float = field(repr=False)
    _ignored: frozenset[int] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """SegmentLabels, as often as they stand."""
        return tuple(segment.name for segment in self.segments)

    def mask(self, segment: str | int) -> np.ndarray:
        """Return where a segment is.

        A FRACTIONAL pixel belongs to it from half of its largest value on.

        Args:
            segment: one of `names`, or a SegmentNumber.

        Returns:
            (I, J, K) bool on `grid`; all False for a segment without frames.

        Raises:
            InputError: no such segment, or several of the name; damaged
                pixels; pixels outside of the image.
        """
        chosen = self._segment(segment)
        mask = np.zeros(self.grid.shape[::-1], bool).T
        outside = 0
        for frame in self._frames:
            if frame.segment in (None, chosen.number):
                inside = self._pixels(frame, chosen.number)
                outside += self._put(mask, frame, inside)
        if outside:
            raise InputError(
                f"{self.path}: expected segment {shown(chosen.name)} within "
                f"the image, found {outside} pixels outside of it. Choose the "
                "series that it was drawn on."
            )
        return mask

    def _segment(self, wanted: str | int) -> Segment:
        found = [s for s in self.segments if wanted in (s.number, s.name)]
        if len(found) == 1:
            return found[0]
        seen = f"{len(found)} of it" if found else join_names(self.names)
        raise InputError(
            f"{self.path}: expected one segment {shown(wanted)}, found {seen}. "
            "Name one that is there; of equal names, by number."
        )

    @cached_property
    def _reader(self) -> FrameReader:
        return FrameReader(self.path, self._form, self._at)

    def _pixels(self, frame: _Frame, segment: int) -> np.ndarray:
        with explain_damage(self.path, WHAT):
            values = self._reader.read(frame.index)
        if self.kind == "BINARY":
            return values != 0
        if self.kind == "FRACTIONAL":
            return values >= self._full / 2
        unknown = set(np.unique(values).tolist()) - self._ignored
        unknown -= {one.number for one in self.segments}
        if unknown:
            raise InputError(
                f"{self.path}: expected pixels of {len(self.segments)} known "
                f"segments, found {join_names(sorted(unknown))} in frame "
                f"{frame.index + 1}. Export it again."
            )
        return values == segment

    def _put(self, mask: np.ndarray, frame: _Frame, inside: np.ndarray) -> int:
        """Set the voxels of a frame's pixels; return how many lie outside."""
        first, along_i, along_j = _on_grid(frame, self.grid)
        row, column = np.nonzero(inside)
        voxels = first + np.outer(column, along_i) + np.outer(row, along_j)
        within = ((voxels >= 0) & (voxels < self.grid.shape)).all(axis=1)
        mask[tuple(voxels[within].T)] = True
        return int((~within).sum())


def read_segments(
    path: str | Path, image: Series | Grid | Volume
) -> Segmentation:
    """Read a segmentation; masks are made when they are asked for.

    Args:
        path: of a SEG file: BINARY, FRACTIONAL or LABELMAP.
        image: the CT it belongs to; the segmentation may cover a part of it.
            Frames of reference are compared where it is a `Series`.

    Raises:
        InputError: damaged, no segmentation, another frame of reference, or a
            grid of which a pixel centre lies more than a tenth of a voxel off
            the image's: all frames are looked at.
    """
    path = Path(path)
    grid = image if isinstance(image, Grid) else image.grid
    with explain_damage(path, WHAT):
        dataset, at = read_header(path)
        kind = text(dataset, "SegmentationType").upper()
        if kind not in _KINDS:
            raise UnusableError(f"no SegmentationType of {', '.join(_KINDS)}")
        if at is None:
            raise UnusableError("no pixels")
        form = pixel_format(dataset)
        if (form.allocated == 1) != (kind == "BINARY"):
            raise UnusableError(f"{form.allocated} bits a pixel in {kind}")
        check_size(form, at, path.stat().st_size)
        segments = _read_segments(dataset)
        frames = _read_frames(dataset, form, kind, segments)
        full = number(dataset, "MaximumFractionalValue") or 255.0
        _check_frame_of_reference(dataset, image)
        _check_grid(frames, form, grid)
        _check_step(dataset, frames, grid)
    return Segmentation(
        path,
        kind,
        tuple(one for one in segments if one.number > 0),
        grid,
        form,
        at,
        frames,
        full,
        frozenset({0, int(number(dataset, "PixelPaddingValue") or 0)}),
    )


def _read_segments(dataset: Dataset) -> tuple[Segment, ...]:
    found = {}
    for item in dataset.get("SegmentSequence") or []:
        value = number(item, "SegmentNumber")
        if value is None or value != int(value) or int(value) in found:
            raise UnusableError("a SegmentNumber that is missing or twice")
        found[int(value)] = Segment(int(value), text(item, "SegmentLabel"))
    return tuple(found.values())


def _read_frames(
    dataset: Dataset,
    form: PixelFormat,
    kind: str,
    segments: Iterable[Segment],
) -> tuple[_Frame, ...]:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(frames) != form.frames:
        raise UnusableError(f"places of {len(frames)} of {form.frames} frames")
    known = {segment.number for segment in segments}
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    found = []
    for index, own in enumerate(frames):
        *place, identity = groups_of(own, shared, _GROUPS)
        segment = None
        if kind != "LABELMAP":
            value = number(identity, "ReferencedSegmentNumber")
            if value is None or value not in known:
                raise UnusableError(f"no known segment in frame {index + 1}")
            segment = int(value)
        found.append(_Frame(index, segment, read_plane(*place)))
    return tuple(found)


def _check_frame_of_reference(
    dataset: Dataset, image: Series | Grid | Volume
) -> None:
    if not isinstance(image, Series) or not image.frame_of_reference_uid:
        return
    own = text(dataset, "FrameOfReferenceUID")
    if own not in ("", image.frame_of_reference_uid):
        raise UnusableError(
            "another frame of reference than its image's (choose the series "
            "that it was drawn on)"
        )


def _check_grid(
    frames: Iterable[_Frame], form: PixelFormat, grid: Grid
) -> None:
    """Pixel centres of every frame lie on voxel centres of the image.

    Raises:
        UnusableError: one is more than a tenth of a voxel off.
    """
    if np.prod(grid.shape, dtype=float) > MAX_VOXELS:
        raise UnusableError(f"an image of {grid.shape} voxels")
    corners = np.array(
        [(i, j, 1.0) for i in (0, form.columns - 1) for j in (0, form.rows - 1)]
    )
    for frame in frames:
        exact = _indices(frame, grid)
        nearest = np.rint(exact)
        off = float(np.abs(corners @ (exact - nearest)).max())
        lengths = np.abs(nearest[:2]).sum(axis=1)
        if off > MAX_OFF_GRID or (lengths != 1).any():
            raise UnusableError(
                f"frame {frame.index + 1} off the grid of its image: "
                f"{off:.3g} voxels at most, pixels of {lengths.tolist()} "
                "voxels (choose the series that it was drawn on, or resample "
                "the segmentation)"
            )


def _check_step(dataset: Dataset, frames: Iterable[_Frame], grid: Grid) -> None:
    """Frames are no farther apart than the image's slices, as far as is said.

    Raises:
        UnusableError: they are.
    """
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    measures = first_item(shared, "PixelMeasuresSequence")
    step_mm = number(measures, "SpacingBetweenSlices")
    if step_mm is None:
        return
    to_index = np.linalg.inv(LPS_TO_RAS @ grid.affine)[:3, :3]
    for frame in frames:
        steps = step_mm * float(np.abs(to_index @ frame.plane.normal).max())
        if steps > MAX_STEP:
            raise UnusableError(
                f"frames {steps:.3g} slices of its image apart (resample the "
                "segmentation to its image)"
            )


def _indices(frame: _Frame, grid: Grid) -> np.ndarray:
    """Return (3, 3): rows along I, along J, origin, in the image's indices."""
    affine = affine_of(frame.plane, frame.plane.normal)
    inner = np.linalg.inv(grid.affine) @ affine
    return inner[:3, [0, 1, 3]].T


def _on_grid(
    frame: _Frame, grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxel of pixel (0, 0), and steps along I and J, (3,) each."""
    along_i, along_j, first = np.rint(_indices(frame, grid)).astype(np.int64)
    return first, along_i, along_j
