"""What lies in a folder: CT series, structure sets, segmentations, the rest.

In: files and folders of any depth. Out: `Found`.

A file is what it holds: names and endings say nothing. Series are told apart
by SeriesInstanceUID; where it was emptied, by folder and frame of reference.
Hidden files and folders are nobody's scans.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from tfpartial.dicom.pixels import pixel_format
from tfpartial.dicom.planes import groups_of, read_plane
from tfpartial.dicom.reading import (
    PixelsAt,
    UnusableError,
    explain_damage,
    first_item,
    is_dicom,
    number,
    read_header,
    text,
)
from tfpartial.dicom.series import WHAT, ImageFile, Series, Slice
from tfpartial.errors import Faults, InputError

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT image",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT image",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT image",
}
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
MAX_RESCALE = 1e6
_STRUCTURES = (STRUCTURE_SET, SEGMENTATION[0])
# Of enhanced images: where position ... rescale of a frame stand.
_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
_ZIP = b"PK\x03\x04"
_NUMBER_KEY = "PerFrameFunctionalGroupsSequence"


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        series: CT series, sorted by the place of their first file.
        structure_sets: paths of RTSTRUCT files.
        segmentations: paths of SEG files.
        others: kind -> number of files that are passed over: scouts,
            localizers, secondary captures, doses, other modalities, zip
            archives, files that are not DICOM.
    """

    series: tuple[Series, ...]
    structure_sets: tuple[Path, ...]
    segmentations: tuple[Path, ...]
    others: Counter[str]


@dataclass(frozen=True)
class _Image:
    """A CT image file and what decides which series it belongs to."""

    path: Path
    series: Series
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class _Unusable:
    """Why a CT image cannot be used, and its series."""

    series_uid: str
    reason: str


def find_series(paths: str | Path | Iterable[str | Path]) -> list[Series]:
    """Return the CT series below files and folders.

    Args:
        paths: one or several files or folders.

    Raises:
        InputError: nothing there, damaged DICOM files (all named), links that
            lead nowhere, or no CT series: says what was found instead.
    """
    found = find(paths)
    if not found.series:
        raise InputError(_nothing(paths, found))
    return list(found.series)


def find(paths: str | Path | Iterable[str | Path]) -> Found:
    """Return everything below files and folders, by what the files hold.

    Raises:
        InputError: nothing there, damaged DICOM files, links that lead
            nowhere: all of them together.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    looked: dict[Path, _Image | _Unusable | str] = {}
    with Faults() as faults:
        for path in _files(map(Path, paths), faults):
            with faults.collect():
                looked[path] = _look_at(path)
        _tell_unusable(looked, faults)
    images = [one for one in looked.values() if isinstance(one, _Image)]
    others = Counter(kind for kind in looked.values() if isinstance(kind, str))
    for kind in _STRUCTURES:
        del others[kind]
    series = _gather(images, others)
    return Found(
        tuple(sorted(series, key=lambda one: one.name)),
        tuple(p for p, kind in looked.items() if kind == STRUCTURE_SET),
        tuple(p for p, kind in looked.items() if kind == SEGMENTATION[0]),
        others,
    )


def _tell_unusable(
    looked: Mapping[Path, _Image | _Unusable | str], faults: Faults
) -> None:
    """One fault for all files of a series that lack the same."""
    unusable: dict[_Unusable, list[Path]] = {}
    for path, why in looked.items():
        if isinstance(why, _Unusable):
            unusable.setdefault(why, []).append(path)
    for why, paths in unusable.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        faults.add(
            f"{paths[0]}{more}: expected {WHAT}, found {why.reason}. Export "
            "the series again."
        )


def _files(paths: Iterable[Path], faults: Faults) -> Iterator[Path]:
    """Every file below, sorted, each folder once; what leads nowhere told."""
    entered: set[str] = set()
    for path in paths:
        if path.is_dir():
            yield from _files(_below(path, entered, faults), faults)
        elif path.exists():
            yield path
        else:
            what = "a link that leads nowhere" if path.is_symlink() else "none"
            faults.add(
                f"{path}: expected a file or folder, found {what}. Check the "
                "path; fetch what the link stands for."
            )


def _below(top: Path, entered: set[str], faults: Faults) -> Iterator[Path]:
    """Paths of files below a folder; links to folders may go in circles."""

    def refuse(error: OSError) -> None:
        faults.add(
            f"{error.filename}: expected a folder that can be read, found: "
            f"{error.strerror}. Check its permissions."
        )

    for folder, folders, names in os.walk(
        top, onerror=refuse, followlinks=True
    ):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(name for name in names if name[0] != "."):
            yield Path(folder) / name


def _look_at(path: Path) -> _Image | _Unusable | str:
    """Return a CT image, or what else a file is."""
    with explain_damage(path, "a DICOM file"):
        if not is_dicom(path):
            with path.open("rb") as file:
                is_zip = file.read(4) == _ZIP
            return "zip archive (unpack it)" if is_zip else "not DICOM"
        dataset, at = read_header(path)
        kind = _uid(dataset, "SOPClassUID")
        if kind == STRUCTURE_SET:
            return STRUCTURE_SET
        if kind in SEGMENTATION:
            return SEGMENTATION[0]
        if kind not in CT_CLASSES:
            name = UID(kind).name
            # Names of the standard alone: a file's own may name somebody.
            return "other DICOM" if name == kind else name
        beside = _not_a_ct(dataset)
        if beside:
            return beside
    with explain_damage(path, WHAT):
        try:
            return _image(path, dataset, at)
        except UnusableError as error:
            return _Unusable(text(dataset, "SeriesInstanceUID"), str(error))


def _uid(dataset: Dataset, keyword: str) -> str:
    """Return a UID of the data set, or where it was emptied, of the file."""
    meta = getattr(dataset, "file_meta", Dataset())
    return text(dataset, keyword) or text(meta, f"MediaStorage{keyword}")


def _not_a_ct(dataset: Dataset) -> str:
    """Say what a CT image is that shows no patient in HU; "" if it does."""
    parts = text(dataset, "ImageType").upper()
    if "LOCALIZER" in parts or "SCOUT" in parts:
        return "localizer"
    if text(dataset, "PixelPresentation").upper() == "COLOR":
        return "colour map (perfusion)"
    return ""


def _image(path: Path, dataset: Dataset, at: PixelsAt | None) -> _Image:
    if at is None:
        raise UnusableError("no pixels")
    form = pixel_format(dataset)
    if form.allocated == 1:
        raise UnusableError("pixels of one bit")
    file = ImageFile(
        path, _uid(dataset, "SOPInstanceUID"), form, at, path.stat().st_size
    )
    if _NUMBER_KEY in dataset:
        slices = _frames(file, dataset)
    else:
        if form.frames != 1:
            raise UnusableError(f"{form.frames} frames without positions")
        slices = [_slice(file, 0, [dataset] * 4)]
    series_number = number(dataset, "SeriesNumber")
    series = Series(
        (),
        text(dataset, "SeriesInstanceUID"),
        text(dataset, "StudyInstanceUID"),
        text(dataset, "FrameOfReferenceUID"),
        text(dataset, "PatientID"),
        None if series_number is None else int(series_number),
    )
    return _Image(path, series, tuple(slices))


def _frames(file: ImageFile, dataset: Dataset) -> list[Slice]:
    """Return the frames of an enhanced image: own groups, then shared."""
    frames = dataset.PerFrameFunctionalGroupsSequence
    if len(frames) != file.form.frames:
        raise UnusableError(
            f"positions of {len(frames)} frames for {file.form.frames}"
        )
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    return [
        _slice(file, index, groups_of(own, shared, _GROUPS))
        for index, own in enumerate(frames)
    ]


def _slice(file: ImageFile, frame: int, groups: list[Dataset]) -> Slice:
    """Return a frame from the groups that hold position ... rescale."""
    *place, transformation = groups
    if "ModalityLUTSequence" in transformation:
        raise UnusableError("a ModalityLUTSequence in place of a slope")
    measures = place[-1]
    return Slice(
        file,
        frame,
        read_plane(*place),
        number(measures, "SpacingBetweenSlices")
        or number(measures, "SliceThickness"),
        _rescale(transformation),
    )


def _rescale(group: Dataset) -> tuple[float, float]:
    """Return slope and intercept; where neither is said, 1 and 0."""
    slope = number(group, "RescaleSlope")
    slope = 1.0 if slope is None else slope
    intercept = number(group, "RescaleIntercept") or 0.0
    if slope == 0 or max(abs(slope), abs(intercept)) > MAX_RESCALE:
        raise UnusableError("a RescaleSlope or RescaleIntercept of no CT")
    return slope, intercept


def _gather(images: list[_Image], others: Counter[str]) -> list[Series]:
    """Put images of one series together; copies and scouts go beside."""
    by_series: dict[object, list[_Image]] = {}
    for image in images:
        # Where UIDs were emptied, what lies in one folder belongs together.
        key = image.series.uid or (
            image.path.parent,
            image.series.frame_of_reference_uid,
        )
        by_series.setdefault(key, []).append(image)
    series = []
    for members in by_series.values():
        slices = [part for image in members for part in image.slices]
        kept = _without_scouts(slices)
        if len(kept) < len(slices):
            others["localizer"] += len(slices) - len(kept)
        notes = _notes(kept)
        series.append(replace(members[0].series, slices=kept, notes=notes))
    return series


def _without_scouts(slices: list[Slice]) -> tuple[Slice, ...]:
    """Drop single slices across all others: scouts that do not say so."""

    def across(part: Slice) -> tuple[float, ...]:
        return tuple(part.plane.normal.round(2).tolist())

    counts = Counter(map(across, slices))
    most = max(counts.values())
    if most < 3:
        return tuple(slices)
    return tuple(s for s in slices if counts[across(s)] > 1)


def _notes(slices: tuple[Slice, ...]) -> tuple[str, ...]:
    uids = {(s.file.uid or s.file.path, s.frame) for s in slices}
    twice = len(slices) - len(uids)
    if not twice:
        return ()
    return (f"{twice} slices stand twice in the folder.",)


def _nothing(paths: object, found: Found) -> str:
    shown = paths if isinstance(paths, str | Path) else "the paths"
    seen = found.others.copy()
    seen["structure set"] = len(found.structure_sets)
    seen["segmentation"] = len(found.segmentations)
    words = ", ".join(f"{n} x {kind}" for kind, n in seen.items() if n)
    return (
        f"{shown}: expected a CT series (DICOM), found "
        f"{words or 'no file'}. Unpack archives; check the path."
    )
