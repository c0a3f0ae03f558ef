"""One CT series: slices of one orientation, and the `Volume` they make.

In: slices that `finding` read the headers of. Out: `Grid`s and `Volume`s.

A series is read twice: its headers when it is found, its pixels when they are
asked for, straight from where the headers said they lie.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from tfpartial.dicom.geometry import (
    affine_of,
    describe_gaps,
    find_places,
    mean_step,
)
from tfpartial.dicom.pixels import FrameReader, PixelFormat, check_size
from tfpartial.dicom.planes import Plane
from tfpartial.dicom.reading import PixelsAt, UnusableError, explain_damage
from tfpartial.errors import Faults, InputError, join_names
from tfpartial.scans import Grid, Volume

MAX_VOXELS = 2**30
WHAT = "a CT image (DICOM)"
# Scaled values stay exact in float32 up to here.
MAX_HU = 2**24
_INT16 = np.iinfo(np.int16)
_REMEDY = "Export the series again, whole."


@dataclass(frozen=True)
class ImageFile:
    """What the header of an image file says, apart from its frames."""

    path: Path
    uid: str
    form: PixelFormat
    at: PixelsAt
    file_bytes: int


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame of an image file, or the only one.

    Attributes:
        file: where it is stored.
        frame: its number there, from 0.
        plane: where it lies.
        thickness: mm; None where it is not said. Only for a single slice.
        rescale: slope and intercept, stored value -> HU.
    """

    file: ImageFile
    frame: int
    plane: Plane
    thickness: float | None
    rescale: tuple[float, float]

    @property
    def name(self) -> str:
        """For messages: the file, and the frame where there are several."""
        name = self.file.path.name
        if self.file.form.frames == 1:
            return name
        return f"{name} frame {self.frame + 1}"


@dataclass(frozen=True, eq=False)
class Series:
    """The slices of one series (SeriesInstanceUID), in any order.

    Identifying texts are left out of its repr: they stand in no message.

    Attributes:
        slices: at least one.
        uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID.
        frame_of_reference_uid: "" where the files do not say it.
        patient_id: PatientID.
        number: SeriesNumber; None where it is not said.
        notes: what was passed over, one sentence each.
    """

    slices: tuple[Slice, ...] = field(repr=False)
    uid: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    frame_of_reference_uid: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    number: int | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def folder(self) -> Path:
        """The folder that holds all its files: names it in messages."""
        paths = [part.file.path.parent for part in self.slices]
        return Path(os.path.commonpath(paths))

    @property
    def name(self) -> str:
        """Names the series in messages: its folder and one of its files."""
        first = self.slices[0].file.path
        if len(self.slices) == 1 or self.slices[0].file.form.frames > 1:
            return str(first)
        inside = first.relative_to(self.folder)
        return f"{self.folder} (series of {inside})"

    @cached_property
    def uids(self) -> dict[str, int]:
        """SOPInstanceUID of each image -> its K; of multi-frame files, -1."""
        return {
            part.file.uid: k if part.file.form.frames == 1 else -1
            for k, same in enumerate(self._places)
            for part in same
        }

    @cached_property
    def grid(self) -> Grid:
        """Shape (I, J, K) and affine, without reading a pixel.

        Raises:
            InputError: one fault: slices of several orientations or sizes;
                missing slices or distances that vary, named; files too short;
                absurd sizes.
        """
        places = self._places
        found = self._unlike() or self._truncated()
        if found:
            raise self._fault(found)
        first = places[0][0]
        form = first.file.form
        shape = (form.columns, form.rows, len(places))
        if np.prod(shape, dtype=float) > MAX_VOXELS:
            raise self._fault(f"expected at most 2^30 voxels, found {shape}")
        step = self._step([same[0] for same in places])
        affine = affine_of(first.plane, step)
        return Grid(shape, affine)

    def read(self) -> Volume:
        """Return the scan in HU: slope * stored + intercept, slice by slice.

        Returns:
            Volume (I, J, K) with I along the rows of the slices, J down their
            columns, K along their normal (row x column). int16, or int32
            where values need it; float32 where a slope or an intercept is no
            whole number. Values that fill the outside of the scanner's circle
            are kept as stored (-3024 HU of some makes).

        Raises:
            InputError: as `grid`; or damaged pixels, or slices that stand
                twice with different pixels.
        """
        grid = self.grid
        shape = grid.shape[::-1]
        whole = all(
            float(value).is_integer()
            for part in self.slices
            for value in part.rescale
        )
        array = np.empty(shape, np.int16 if whole else np.float32)
        readers: dict[Path, FrameReader] = {}
        for k, same in enumerate(self._places):
            values = _hu(self._pixels(same, readers), same[0].rescale, whole)
            if values.max() > MAX_HU or values.min() < -MAX_HU:
                raise self._fault(
                    f"expected HU of at most 2^24, found more in {same[0].name}"
                )
            if array.dtype == np.int16 and (
                values.min() < _INT16.min or values.max() > _INT16.max
            ):
                array = array.astype(np.int32)
            array[k] = values
        return Volume(array.T, grid.affine)

    @cached_property
    def _places(self) -> list[list[Slice]]:
        """The slices along K; those that stand at one place together."""
        positions = np.array([part.plane.position for part in self.slices])
        normal = self.slices[0].plane.normal
        return [
            [self.slices[index] for index in indices]
            for indices in find_places(positions, normal)
        ]

    def _fault(self, found: str) -> InputError:
        return InputError(f"{self.name}: {found}. {_REMEDY}")

    def _unlike(self) -> str:
        """Say what keeps the slices from being one block."""

        def kind(part: Slice) -> tuple[object, ...]:
            form = part.file.form
            return (
                (form.rows, form.columns),
                tuple(part.plane.axes.round(3).ravel().tolist()),
                tuple(part.plane.spacing.round(4).tolist()),
            )

        first = kind(self.slices[0])
        other = next((s for s in self.slices if kind(s) != first), None)
        if other is None:
            return ""
        return (
            "expected slices of one size, orientation and pixel spacing, found "
            f"{first} in {self.slices[0].name} and {kind(other)} in "
            f"{other.name}"
        )

    def _truncated(self) -> str:
        faults = []
        for file in {
            part.file.path: part.file for part in self.slices
        }.values():
            try:
                check_size(file.form, file.at, file.file_bytes)
            except UnusableError as error:
                faults.append(f"{file.path.name}: {error}")
        if not faults:
            return ""
        return f"expected whole files, found {join_names(faults, limit=5)}"

    def _step(self, slices: list[Slice]) -> np.ndarray:
        normal = slices[0].plane.normal
        if len(slices) == 1:
            if not slices[0].thickness:
                raise self._fault(
                    "expected a SliceThickness in a series of one slice, "
                    "found none"
                )
            return normal * slices[0].thickness
        positions = np.array([part.plane.position for part in slices])
        gaps = describe_gaps(positions, normal, [s.name for s in slices])
        if gaps:
            raise self._fault(
                f"expected {len(slices)} slices at equal distances, found "
                f"{gaps}"
            )
        return mean_step(positions)

    def _pixels(
        self, same: list[Slice], readers: dict[Path, FrameReader]
    ) -> np.ndarray:
        """Read a slice; where it stands twice, both must be the same."""
        found = [_stored(part, readers) for part in same]
        for part, values in zip(same[1:], found[1:], strict=True):
            if part.rescale != same[0].rescale or not np.array_equal(
                values, found[0]
            ):
                twice = sum(len(place) > 1 for place in self._places)
                raise self._fault(
                    f"expected one slice at each place, found {same[0].name} "
                    f"and {part.name} at one, with different pixels ({twice} "
                    f"of {len(self._places)} places have several: phases or "
                    "reconstructions in one series?)"
                )
        return found[0]


def check_series(series: Iterable[Series]) -> None:
    """Refuse series that make no volume, all of them together.

    Raises:
        InputError: one fault for each.
    """
    with Faults() as faults:
        for one in series:
            with faults.collect():
                _ = one.grid


def _stored(part: Slice, readers: dict[Path, FrameReader]) -> np.ndarray:
    file = part.file
    if file.form.frames == 1:
        reader = FrameReader(file.path, file.form, file.at)
    else:
        reader = readers.setdefault(
            file.path, FrameReader(file.path, file.form, file.at)
        )
    with explain_damage(file.path, WHAT):
        return reader.read(part.frame)


def _hu(
    stored: np.ndarray, rescale: tuple[float, float], whole: bool
) -> np.ndarray:
    slope, intercept = rescale
    if not whole:
        return (stored * slope + intercept).astype(np.float32)
    wide = np.int64 if stored.itemsize > 2 or slope != 1 else np.int32
    values = stored.astype(wide)
    if slope != 1:
        np.multiply(values, int(slope), out=values)
    return np.add(values, int(intercept), out=values)
