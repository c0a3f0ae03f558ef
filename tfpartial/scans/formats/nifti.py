"""NIfTI in: what is read is a 3D scan in mm with an orientation, or refused.

In: paths. Out: `Volume`s. Only this module and its two helpers
`nifti_header` and `nifti_write` import nibabel.

A file says how large it is. What it says is compared with what it holds
before memory is asked for, so that a small file cannot cost much of it.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from tfpartial.errors import InputError
from tfpartial.scans.formats.nifti_header import Header, parse_header
from tfpartial.scans.volume import Volume

ENDINGS = (".nii", ".nii.gz")
# Deflate makes 1032 bytes of one at most.
MAX_EXPANSION = 1032
# Empty masks expand a thousand times, and are small; scans expand ten times.
BOMB_BYTES = 2**30
BOMB_EXPANSION = 200
_CHUNK_BYTES = 2**24


def read_volume(path: str | Path) -> Volume:
    """Read a 3D scan.

    Args:
        path: .nii or .nii.gz. A trailing axis of length 1 is dropped.

    Returns:
        Volume; integers as stored where the file has no scaling, else float32
        of stored * slope + intercept; nibabel's best affine (sform, then
        qform).

    Raises:
        InputError: missing or damaged file, not NIfTI, not 3D, complex or RGB
            voxels, NaN or infinite voxels, no or unusable orientation, absurd
            size, more or fewer bytes than its header says.
    """
    array, affine = _read(Path(path))
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        return Volume(array, affine)
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        raise InputError(
            f"{path}: expected finite voxels, found {(~finite).sum()} that are "
            "NaN, infinite or beyond float32. Replace them (air is -1000 HU)."
        )
    return Volume(values, affine)


def read_label_volume(path: str | Path) -> Volume:
    """Read a 3D label map, exactly.

    Args:
        path: .nii or .nii.gz.

    Returns:
        Volume of uint8 where all values are in 0..255, else int32.

    Raises:
        InputError: as `read_volume`; or values that are not whole numbers or
            do not fit int32.
    """
    array, affine = _read(Path(path))
    if array.dtype.kind == "f":
        whole = np.isfinite(array)
        whole[whole] = array[whole] == np.rint(array[whole])
        if not whole.all():
            raise InputError(
                f"{path}: expected whole numbers (labels), found "
                f"{array[~whole][0]} and {(~whole).sum() - 1} more that are "
                "not. Is it an image, or resampled with interpolation? "
                "Resample label maps by nearest neighbour."
            )
    low, high = array.min(), array.max()
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        raise InputError(
            f"{path}: expected labels that fit 32 bits, found {low} to {high}."
            " Number the labels anew."
        )
    small = low >= 0 and high <= 255
    return Volume(array.astype(np.uint8 if small else np.int32), affine)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled voxels (I, J, K), native byte order, and the affine."""
    _check_is_there(path)
    try:
        with _stream(path) as stream:
            header = parse_header(stream, path)
            _check_size(path, header)
            array = _voxels(stream, header)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: expected a NIfTI file (.nii or .nii.gz), found one that "
            f"is truncated or damaged or not NIfTI: {str(error).rstrip('.')}. "
            "Copy or convert it again."
        ) from None
    return header.scaled(array), header.affine


def _check_is_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"{path}: expected a NIfTI file, found "
            f"{'a folder' if path.is_dir() else 'nothing there'}. Check the "
            "path."
        )
    if not path.name.lower().endswith(ENDINGS):
        raise InputError(
            f"{path}: expected a NIfTI file (.nii or .nii.gz), found the name "
            f"'{path.name}'. Convert it to NIfTI."
        )


def _stream(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    return path.open("rb")


def _check_size(path: Path, header: Header) -> None:
    """Compare what the header says with the size of the file.

    Raises:
        InputError: an uncompressed file of another size; a compressed one
            that cannot hold so much, or would expand absurdly.
    """
    expected, held = header.offset + header.num_bytes, path.stat().st_size
    if not path.name.lower().endswith(".gz"):
        if expected == held:
            return
        found = f"a file of {held} bytes"
    elif expected > held * MAX_EXPANSION:
        found = f"{held} compressed bytes, which cannot hold them"
    elif expected > max(BOMB_BYTES, held * BOMB_EXPANSION):
        found = f"{held} compressed bytes, which no scan is"
    else:
        return
    raise InputError(
        f"{path}: expected {expected} bytes for the shape {header.shape} of "
        f"{header.dtype}, found {found}: truncated or damaged. Copy or convert "
        "it again."
    )


def _voxels(stream: IO[bytes], header: Header) -> np.ndarray:
    """Read (I, J, K) as stored, to the end: there a checksum is tested.

    Raises:
        ValueError: fewer or more bytes than the header says.
    """
    _skip(stream, header.offset - header.num_read)
    array = np.empty(header.num_bytes, np.uint8)
    view, position = array.data, 0
    while position < len(view):
        end = position + _CHUNK_BYTES
        count = stream.readinto(view[position:end])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(
                f"expected {header.shape} voxels of {header.dtype}, the file "
                f"ends after {position} of {len(view)} bytes"
            )
        position += count
    if stream.read(1):
        raise ValueError(
            f"expected its end after {header.shape} voxels of {header.dtype}, "
            "more bytes follow"
        )
    return array.view(header.dtype).reshape(header.shape, order="F")


def _skip(stream: IO[bytes], count: int) -> None:
    """Pass over header extensions (free text) without looking at them."""
    while count > 0:
        skipped = len(stream.read(min(count, _CHUNK_BYTES)))
        if not skipped:
            raise ValueError("it ends before its voxels begin")
        count -= skipped
