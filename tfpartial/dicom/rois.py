"""Structures as a structure set stores them: names, contours, references.

In: the data set of an RTSTRUCT file. Out: `Roi`s; UIDs of what it cites.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from pydicom import Dataset

from tfpartial.dicom.reading import (
    UnusableError,
    decimals,
    first_item,
    number,
    text,
)

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


def read_references(dataset: Dataset) -> tuple[set[str], set[str], set[str]]:
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


def read_rois(dataset: Dataset) -> tuple[Roi, ...]:
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
