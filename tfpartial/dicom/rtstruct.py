"""Structure sets (RTSTRUCT): contours to masks on the grid of their CT.

In: a structure set and its image. Out: boolean masks, made when asked for.

1. Vertices are patient mm: the inverse of the image's affine takes them to
   voxel indices, tilted and oblique scans included. Nothing is rounded.
2. A contour belongs to the slice that it lies nearest to. UIDs of images that
   a contour cites are compared where they are known; they are not needed.
3. The contours of one plane are filled by the even-odd rule (`polygons`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset

from tfpartial.dicom.geometry import LPS_TO_RAS
from tfpartial.dicom.polygons import fill, snap
from tfpartial.dicom.reading import (
    UnusableError,
    decimals,
    explain_damage,
    first_item,
    number,
    read_all,
    text,
)
from tfpartial.dicom.series import Series
from tfpartial.errors import InputError, join_names, shown
from tfpartial.scans import Grid, Volume

WHAT = "a structure set (DICOM RTSTRUCT)"
# Of a slice step: a contour's vertices may differ so much along K.
MAX_SLANT = 0.25
# Of a slice step: contours closer along K lie in one plane.
SAME_PLANE = 0.02
# Of a slice step: farther from their slice, contours are told.
TOLD_OFFSET = 0.1
MAX_COORDINATE_MM = 1e6
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR", "")
_CONTOUR_DATA = 0x30060050
_POINTS = "NumberOfContourPoints"


@dataclass(frozen=True, eq=False)
class Contour:
    """One closed contour.

    Attributes:
        points: (N, 3) LPS+ mm.
        cited: SOPInstanceUIDs of images that it names.
    """

    points: np.ndarray
    cited: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Roi:
    """One structure as it is stored.

    Attributes:
        number: ROINumber.
        name: ROIName, without blanks around.
        frame_of_reference_uid: "" where the file does not say it.
        contours: closed contours; () is a structure that was not drawn.
        skipped: kind of contour -> how many were passed over.
    """

    number: int
    name: str
    frame_of_reference_uid: str = field(repr=False)
    contours: tuple[Contour, ...] = field(repr=False)
    skipped: Counter[str]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """The structures of one file, on the grid of one image.

    Attributes:
        path: of the file.
        rois: in the file's order.
        grid: of the image.
        label: StructureSetLabel.
        date: StructureSetDate, YYYYMMDD.
        approval: ApprovalStatus, such as "APPROVED".
        series: the image, where it was given as such.
    """

    path: Path
    rois: tuple[Roi, ...]
    grid: Grid
    label: str = field(default="", repr=False)
    date: str = field(default="", repr=False)
    approval: str = ""
    series: Series | None = field(default=None, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all structures, as often as they stand."""
        return tuple(roi.name for roi in self.rois)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the structures that have a closed contour."""
        return tuple(roi.name for roi in self.rois if roi.contours)

    def mask(self, name: str) -> np.ndarray:
        """Return where a structure is.

        Args:
            name: one of `names`.

        Returns:
            (I, J, K) bool on `grid`; all False for a structure that was not
            drawn.

        Raises:
            InputError: no such name, or several; another frame of reference;
                contours that cross slices; contours that name another slice
                than the one they lie on.
        """
        roi = self._roi(name)
        self._check_frame(roi)
        i, j, k = self.grid.shape
        mask = np.zeros((k, j, i), bool)
        for plane, polygons in self._planes(roi).used.items():
            mask[plane] = fill(polygons, (i, j)).T
        return mask.T

    def notes(self, name: str) -> tuple[str, ...]:
        """Return what was passed over or moved in a structure, in sentences.

        Raises:
            InputError: as `mask`.
        """
        roi = self._roi(name)
        planes = self._planes(roi)
        where = f"{self.path.name}, structure {shown(name)}"
        told = [
            f"{n} contours of kind {kind} skipped"
            for kind, n in sorted(roi.skipped.items())
        ]
        if planes.outside:
            told.append(f"{planes.outside} contours outside of the image")
        if planes.between:
            told.append(
                f"{planes.between} contours left out: they lie between slices, "
                "others are nearer"
            )
        if planes.offset > TOLD_OFFSET:
            told.append(
                f"contours lie up to {planes.offset:.2g} slice steps off the "
                "slices"
            )
        if planes.twice:
            told.append(f"{planes.twice} contours stand twice: used once")
        if planes.gaps:
            told.append(f"{planes.gaps} slices between contours have none")
        if not roi.contours:
            told.append("not drawn")
        elif self._cites_strangers(roi):
            told.append("names images that are not in the folder")
        return tuple(f"{where}: {sentence}." for sentence in told)

    def _roi(self, name: str) -> Roi:
        found = [roi for roi in self.rois if roi.name == name]
        if len(found) == 1:
            return found[0]
        seen = f"{len(found)} of it" if found else join_names(self.names)
        raise InputError(
            f"{self.path}: expected one structure {shown(name)}, found {seen}. "
            "Name one that is there; rename structures that share a name."
        )

    def _check_frame(self, roi: Roi) -> None:
        known = self.series.frame_of_reference_uid if self.series else ""
        if known and roi.frame_of_reference_uid not in ("", known):
            raise InputError(
                f"{self.path}: expected structure {shown(roi.name)} in the "
                "frame of reference of its image, found another one "
                "(FrameOfReferenceUID). Choose the series it was drawn on."
            )

    def _cites_strangers(self, roi: Roi) -> bool:
        if self.series is None:
            return False
        cited = {uid for contour in roi.contours for uid in contour.cited}
        return bool(cited) and not cited & set(self.series.uids)

    def _planes(self, roi: Roi) -> _Planes:
        inverse = np.linalg.inv(self.grid.affine) @ LPS_TO_RAS
        placed = []
        for contour in roi.contours:
            points = contour.points @ inverse[:3, :3].T + inverse[:3, 3]
            if np.ptp(points[:, 2]) > MAX_SLANT:
                raise InputError(
                    f"{self.path}: expected contours of structure "
                    f"{shown(roi.name)} along the slices of the image, found "
                    f"one across {np.ptp(points[:, 2]):.3g} slices. Is it its "
                    "image? Export the structure on its slices."
                )
            plane = float(snap(points[:, 2].mean()))
            self._check_cited(roi, contour, plane)
            placed.append((plane, points[:, :2]))
        return _choose_planes(placed, self.grid.shape[2])

    def _check_cited(self, roi: Roi, contour: Contour, plane: float) -> None:
        """A contour lies where the image is that it names."""
        if self.series is None:
            return
        known = [self.series.uids.get(uid, -1) for uid in contour.cited]
        off = [k for k in known if k >= 0 and abs(k - plane) > 1]
        if off:
            raise InputError(
                f"{self.path}: expected a contour of structure "
                f"{shown(roi.name)} at slice {off[0] + 1}, whose image it "
                f"names, found it at slice {plane + 1:.4g}. Export image and "
                "structures again, together."
            )


@dataclass(frozen=True)
class _Planes:
    """Which contours fill which slice.

    Attributes:
        used: K -> polygons (N, 2) in pixel coordinates.
        outside: contours beyond the first or last slice.
        between: contours of planes that are not the nearest of a slice.
        twice: contours that are the same as another of their plane.
        gaps: slices without contours between such with.
        offset: the farthest of used contours from their slice, slice steps.
    """

    used: dict[int, list[np.ndarray]]
    outside: int
    between: int
    twice: int
    gaps: int
    offset: float


def read_structures(
    path: str | Path, image: Series | Grid | Volume
) -> StructureSet:
    """Read a structure set; masks are made when they are asked for.

    Args:
        path: of an RTSTRUCT file.
        image: the CT it was drawn on. Frames of reference and UIDs are
            compared where it is a `Series`.

    Raises:
        InputError: damaged, no structure set, numbers of points that do not
            fit their data; all structures in another frame of reference, or
            all outside of the image.
    """
    path = Path(path)
    with explain_damage(path, WHAT):
        dataset = read_all(path)
        if "StructureSetROISequence" not in dataset:
            raise UnusableError("no StructureSetROISequence")
        rois = _read_rois(dataset)
        label = text(dataset, "StructureSetLabel")
        date = text(dataset, "StructureSetDate")
        approval = text(dataset, "ApprovalStatus")
    series = image if isinstance(image, Series) else None
    grid = image if isinstance(image, Grid) else image.grid
    found = StructureSet(path, rois, grid, label, date, approval, series)
    _check_whole(found)
    return found


def match_series(path: str | Path, candidates: Sequence[Series]) -> Series:
    """Return the series that a structure set was drawn on.

    The one whose SeriesInstanceUID it names, else whose images, else the
    only one of its frame of reference, else the only one.

    Raises:
        InputError: damaged; none, or several.
    """
    path = Path(path)
    with explain_damage(path, WHAT):
        dataset = read_all(path)
        named, images, frames = _references(dataset)
    by_rule = (
        [s for s in candidates if s.uid and s.uid in named],
        [s for s in candidates if images & set(s.uids)],
        [s for s in candidates if s.frame_of_reference_uid in frames],
        [s for s in candidates if not s.frame_of_reference_uid or not frames],
    )
    fitting = next((found for found in by_rule if found), [])
    if len(fitting) == 1:
        return fitting[0]
    raise InputError(
        f"{path}: expected one CT series that the structure set was drawn "
        f"on, found {len(fitting)} of {len(candidates)} that fit. Put its CT "
        "beside it, or name the series."
    )


def _references(dataset: Dataset) -> tuple[set[str], set[str], set[str]]:
    """Return UIDs of the series, images, frames of reference it names."""
    series, images, frames = set(), set(), {_frame_of(dataset)}
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        frames.add(_frame_of(frame))
        for study in frame.get("RTReferencedStudySequence") or []:
            for one in study.get("RTReferencedSeriesSequence") or []:
                series.add(text(one, "SeriesInstanceUID"))
                images |= set(_cited(one))
    return series, images, frames - {""}


def _frame_of(dataset: Dataset) -> str:
    return text(dataset, "FrameOfReferenceUID")


def _cited(dataset: Dataset) -> tuple[str, ...]:
    return tuple(
        text(image, "ReferencedSOPInstanceUID")
        for image in dataset.get("ContourImageSequence") or []
    )


def _read_rois(dataset: Dataset) -> tuple[Roi, ...]:
    """Return the structures; those without contours too.

    Raises:
        UnusableError: numbers that stand twice, contours of none, damaged
            contours.
    """
    if "ROIContourSequence" not in dataset:
        raise UnusableError("no ROIContourSequence")
    frame = _frame_of(dataset) or _frame_of(
        first_item(dataset, "ReferencedFrameOfReferenceSequence")
    )
    items: dict[int, Dataset] = {}
    for item in dataset.StructureSetROISequence:
        roi_number = _whole(item, "ROINumber")
        if roi_number in items:
            raise UnusableError(f"ROINumber {roi_number} twice")
        items[roi_number] = item
    contours: dict[int, list[Contour]] = {roi: [] for roi in items}
    skipped: dict[int, Counter[str]] = {roi: Counter() for roi in items}
    for item in dataset.ROIContourSequence:
        roi_number = _whole(item, "ReferencedROINumber")
        if roi_number not in items:
            raise UnusableError(f"contours of an unknown ROI {roi_number}")
        for one in item.get("ContourSequence") or []:
            contour, why = _read_contour(one)
            if contour is None:
                skipped[roi_number][why] += 1
            else:
                contours[roi_number].append(contour)
    return tuple(
        Roi(
            roi_number,
            text(item, "ROIName"),
            text(item, "ReferencedFrameOfReferenceUID") or frame,
            tuple(contours[roi_number]),
            skipped[roi_number],
        )
        for roi_number, item in items.items()
    )


def _whole(dataset: Dataset, keyword: str) -> int:
    value = number(dataset, keyword)
    if value is None or value != int(value):
        raise UnusableError(f"no usable {keyword}")
    return int(value)


def _read_contour(item: Dataset) -> tuple[Contour | None, str]:
    """Return a closed contour, or None and why it is passed over."""
    kind = text(item, "ContourGeometricType").upper()
    values = decimals(item, _CONTOUR_DATA)
    if len(values) % 3:
        raise UnusableError("coordinates that are not three for each point")
    points = values.reshape(-1, 3)
    claimed = number(item, _POINTS)
    if claimed is not None and claimed != len(points):
        raise UnusableError(
            f"{len(points)} points where {_POINTS} is {claimed:.0f}"
        )
    if kind not in _CLOSED:
        known = kind in ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
        return None, kind if known else "unknown"
    if len(points) < 3:
        return None, "fewer than 3 points"
    if np.abs(points).max() > MAX_COORDINATE_MM:
        raise UnusableError("a contour beyond a kilometre")
    return Contour(points, _cited(item)), ""


def _check_whole(found: StructureSet) -> None:
    """Refuse a structure set of which nothing belongs to the image.

    Raises:
        InputError: another frame of reference, or all contours outside.
    """
    drawn = [roi for roi in found.rois if roi.contours]
    if not drawn:
        return
    known = found.series.frame_of_reference_uid if found.series else ""
    if known and all(
        roi.frame_of_reference_uid not in ("", known) for roi in drawn
    ):
        raise InputError(
            f"{found.path}: expected the frame of reference of its image, "
            "found another one (FrameOfReferenceUID). Choose the series that "
            "it was drawn on."
        )
    inverse = np.linalg.inv(found.grid.affine) @ LPS_TO_RAS
    last = np.array(found.grid.shape) - 0.5

    def touches(contour: Contour) -> bool:
        points = contour.points @ inverse[:3, :3].T + inverse[:3, 3]
        low, high = points.min(axis=0), points.max(axis=0)
        return bool(((high >= -0.5) & (low <= last)).all())

    if not any(touches(c) for roi in drawn for c in roi.contours):
        raise InputError(
            f"{found.path}: expected contours on the image, found all of them "
            "outside of it. Choose the series that it was drawn on."
        )


def _choose_planes(
    placed: Sequence[tuple[float, np.ndarray]], slices: int
) -> _Planes:
    """Give each slice the contours of the plane nearest to it.

    A plane belongs to the slice within half a step; halfway, to the higher.
    Planes of another step than the image's compete for a slice: their
    contours are not counted together.
    """
    placed = sorted(placed, key=lambda one: one[0])
    planes: list[tuple[float, list[np.ndarray]]] = []
    for k, polygon in placed:
        if not planes or k - planes[-1][0] > SAME_PLANE:
            planes.append((k, []))
        planes[-1][1].append(polygon)
    nearest: dict[int, tuple[float, list[np.ndarray]]] = {}
    outside = between = 0
    for k, polygons in planes:
        slice_number = int(np.floor(k + 0.5))
        if not 0 <= slice_number < slices:
            outside += len(polygons)
            continue
        before = nearest.get(slice_number)
        if before is None:
            nearest[slice_number] = (k, polygons)
            continue
        if abs(k - slice_number) < abs(before[0] - slice_number):
            nearest[slice_number] = (k, polygons)
            polygons = before[1]
        between += len(polygons)
    used = {k: _without_copies(found) for k, (_, found) in nearest.items()}
    twice = sum(len(found) - len(used[k]) for k, (_, found) in nearest.items())
    offset = max((abs(k - n) for n, (k, _) in nearest.items()), default=0.0)
    gaps = max(used) - min(used) + 1 - len(used) if used else 0
    return _Planes(used, outside, between, twice, gaps, offset)


def _without_copies(polygons: list[np.ndarray]) -> list[np.ndarray]:
    """Drop contours that stand twice: counted twice they would be nothing."""
    return list({snap(one).tobytes(): one for one in polygons}.values())
