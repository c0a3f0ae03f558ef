"""The formats of scans and label maps: each is read and written here alone.

In: paths. Out: `Volume`s; label maps with the names of their labels.
Nothing outside of this room knows an ending: a new format is one file beside
this one and one entry of `FORMATS` (docs/extending/scan_format.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpartial.errors import InputError
from tfpartial.scans.formats.base import NOTICE, Format, WritableFormat
from tfpartial.scans.formats.nifti import Nifti
from tfpartial.scans.volume import UNDECLARED, Header, Placement, Volume

# What the program writes itself is of the first one.
FORMATS: list[Format] = [Nifti()]


def known_endings() -> tuple[str, ...]:
    """Return every file ending that is read, lower case."""
    return tuple(ending for known in FORMATS for ending in known.endings)


def readable_kinds() -> str:
    """Return what messages expect: "a NIfTI file (.nii.gz, .nii)"."""
    return " or ".join(
        f"a {known.name} file ({', '.join(known.endings)})" for known in FORMATS
    )


def stem(file_name: str) -> str | None:
    """Return a file name without its ending; None: no known format."""
    stems = (known.stem(file_name) for known in FORMATS)
    return next((name for name in stems if name is not None), None)


def is_scan(path: Path) -> bool:
    """Tell whether a file of a known format is there, by its name."""
    return any(known.is_scan(path) for known in FORMATS)


def format_of(path: Path) -> Format:
    """Return the format that a file's name says.

    Raises:
        InputError: no known ending.
    """
    for known in FORMATS:
        if known.stem(path.name) is not None:
            return known
    raise InputError(
        f"{path}: expected {readable_kinds()}, found the name '{path.name}'. "
        "Convert or rename it."
    )


def read_image(path: str | Path, placement: Placement = UNDECLARED) -> Volume:
    """Read a 3D scan.

    Args:
        path: of a known format. A trailing axis of length 1 is dropped.
        placement: what is declared of ambiguous headers.

    Returns:
        Volume; integers as stored where the file has no scaling, else float32
        of stored * slope + intercept; affine voxel -> RAS+ mm.

    Raises:
        InputError: missing or damaged file, no known format, not 3D, complex
            or RGB voxels, NaN or infinite voxels, no or unusable orientation,
            forms of the header that
            disagree, absurd size, more or fewer bytes than its header says.
    """
    volume = _read(Path(path), placement)
    array = volume.array
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        return volume
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        raise InputError(
            f"{path}: expected finite voxels, found {(~finite).sum()} that are "
            "NaN, infinite or beyond float32. Replace them (air is -1000 HU)."
        )
    return replace(volume, array=values)


def read_labels(path: str | Path, placement: Placement = UNDECLARED) -> Volume:
    """Read a 3D label map, exactly.

    Args:
        path: of a known format.
        placement: what is declared of ambiguous headers.

    Returns:
        Volume of uint8 where all values are in 0..255, else int32.

    Raises:
        InputError: as `read_image`; or values that are not whole numbers or
            do not fit int32.
    """
    volume = _read(Path(path), placement)
    array = volume.array
    if array.dtype.kind == "f":
        array = _whole(array, volume.header, path)
    low, high = array.min(), array.max()
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        raise InputError(
            f"{path}: expected labels that fit 32 bits, found {low} to {high}."
            " Number the labels anew."
        )
    dtype = np.uint8 if low >= 0 and high <= 255 else np.int32
    return replace(volume, array=array.astype(dtype))


def _whole(array: np.ndarray, header: Header, path: str | Path) -> np.ndarray:
    """Return labels that were stored as floats, or as scaled integers.

    Raises:
        InputError: values further from a whole number than their scaling
            explains.
    """
    finite = np.isfinite(array)
    rounded = np.rint(array)
    limit = header.rounding(float(np.abs(array[finite]).max(initial=0)))
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        whole = finite & (np.abs(array - rounded) <= limit)
    if whole.all():
        return rounded
    scaling = (
        f"Its scaling (scl_slope {header.slope:.6g}, scl_inter "
        f"{header.intercept:.6g}) explains {limit:.2g}: store integers "
        "without scaling. "
        if header.slope is not None
        else ""
    )
    raise InputError(
        f"{path}: expected whole numbers (labels), found {array[~whole][0]} "
        f"and {(~whole).sum() - 1} more that are not. {scaling}Is it an image, "
        "or resampled with interpolation? Resample label maps by nearest "
        "neighbour."
    )


def _read(path: Path, placement: Placement) -> Volume:
    """Read what is there, or say what is."""
    for known in FORMATS:
        if known.is_scan(path):
            return known.read_placed(path, placement)
    if path.is_file():
        format_of(path)  # says what its name should be
    raise InputError(
        f"{path}: expected {readable_kinds()}, found "
        f"{'a folder' if path.is_dir() else 'nothing there'}. Check the path."
    )


def write_volume(
    path: str | Path,
    volume: Volume,
    names: Mapping[int, str] | None = None,
    description: str = NOTICE,
) -> None:
    """Write a volume; the file appears whole or not at all.

    Label names go into the file, where its format has a place for them, and
    into `<stem>.json` beside it, both with the notice "Research use only".

    Args:
        path: of a known format; its folder is made.
        volume: what to write; what its header keeps is written again where
            the format is the same; float64 becomes float32, bool uint8, int64
            int32.
        names: stored value -> name; None writes none, and no JSON.
        description: a word about the file, where its format has a place.

    Raises:
        InputError: another file ending, or a format that is only read.
        ValueError: 64-bit integers that do not fit 32 bits.
    """
    _writer(Path(path)).write(Path(path), volume, names, description)


def write_probabilities(
    path: Path,
    probabilities: np.ndarray,
    scan: Volume,
    names: Mapping[int, str],
) -> None:
    """Write probabilities; the file appears whole or not at all.

    Args:
        path: of a known format; its folder is made.
        probabilities: (I, J, K, L) in [0, 1]; label last in the file too.
        scan: whose voxels they are of; its header is kept.
        names: label index -> name.

    Raises:
        InputError: another file ending, or a format that is only read.
    """
    _writer(path).write_probabilities(path, probabilities, scan, names)


def _writer(path: Path) -> WritableFormat:
    known = format_of(path)
    if isinstance(known, WritableFormat):
        return known
    raise InputError(
        f"{path}: expected a format that is written, found {known.name}, which "
        f"is only read. Choose another file ending."
    )


def label_map_path(folder: Path, name: str) -> Path:
    """Return where the label map of a scan belongs among the predictions."""
    return folder / (name + FORMATS[0].endings[0])


def names_path(path: Path) -> Path:
    """Return where the names of a label map's values stand: beside it."""
    return path.with_name(f"{format_of(path).stem(path.name)}.json")
