"""NIfTI: what is read is a 3D scan in mm with an orientation, or refused.

In: paths. Out: `Volume`s; .nii.gz and .nii files, with label names in a JSON
beside them. Only this module, `nifti_header` and `nifti_forms` import
nibabel.

A file says how large it is. What it says is compared with what it holds
before memory is asked for, so that a small file cannot cost much of it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np

from tfpartial.errors import InputError
from tfpartial.files.whole_file import write_whole
from tfpartial.scans.formats.base import NOTICE, WritableFormat
from tfpartial.scans.formats.nifti_forms import Forms, forms_of
from tfpartial.scans.formats.nifti_header import NiftiHeader, parse_header
from tfpartial.scans.volume import UNDECLARED, Placement, Volume

# Deflate makes 1032 bytes of one at most.
MAX_EXPANSION = 1032
# Empty masks expand a thousand times, and are small; scans expand ten times.
BOMB_BYTES = 2**30
BOMB_EXPANSION = 200
COMMENT_EXTENSION = 6
GZIP_LEVEL = 3
# Probabilities 0 .. 1 become 0 .. 32768: exact in the header's float32.
PROBABILITY_SLOPE = 2.0**-15
_CHUNK_BYTES = 2**24


class Nifti(WritableFormat):
    """NIfTI-1 and NIfTI-2, one file each, plain or compressed."""

    name = "NIfTI"
    endings = (".nii.gz", ".nii")

    def read(self, path: Path) -> Volume:
        """Read scaled voxels; the sform decides, or else the qform."""
        return self.read_placed(path, UNDECLARED)

    def read_placed(self, path: Path, placement: Placement) -> Volume:
        """Read scaled voxels; the declared form decides between two."""
        try:
            with _stream(path) as stream:
                header = parse_header(stream, path, placement)
                _check_size(path, header)
                array = _voxels(stream, header)
        except InputError:
            raise
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise InputError(
                f"{path}: expected a NIfTI file (.nii or .nii.gz), found one "
                f"that is truncated or damaged or not NIfTI: "
                f"{str(error).rstrip('.')}. Copy or convert it again."
            ) from None
        return Volume(header.scaled(array), header.affine, header.place)

    def write(
        self,
        path: Path,
        volume: Volume,
        names: Mapping[int, str] | None,
        description: str,
    ) -> None:
        """Write voxels; names into the header's extension and a JSON beside.

        `description` becomes the header's `descrip`, cut to 79 bytes.
        """
        image = _image(_storable(volume.array), volume, description)
        path.parent.mkdir(parents=True, exist_ok=True)
        if names is not None:
            text = _add_names(image, names, description)
            # The JSON first: where the volume is, its names are.
            write_whole(path.with_name(f"{self.stem(path.name)}.json"), text)
        _write_image(path, image)

    def write_probabilities(
        self,
        path: Path,
        probabilities: np.ndarray,
        scan: Volume,
        names: Mapping[int, str],
    ) -> None:
        """Write probabilities as 4D NIfTI of 16 bits.

        NIfTI has no float16, so multiples of 2^-15 are stored as uint16 with
        that number as header slope: any reader scales them back, 0 and 1 are
        exact, and the file is as small as float16 would be.
        """
        scaled = probabilities.astype(np.float32) / PROBABILITY_SLOPE
        image = _image(np.rint(scaled).astype(np.uint16), scan, NOTICE)
        image.header.set_slope_inter(PROBABILITY_SLOPE, 0)
        _add_names(image, names, NOTICE)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_image(path, image)


def _stream(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    return path.open("rb")


def _check_size(path: Path, header: NiftiHeader) -> None:
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


def _voxels(stream: IO[bytes], header: NiftiHeader) -> np.ndarray:
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


def _image(
    array: np.ndarray, place: Volume, description: str
) -> nibabel.Nifti1Image:
    """Return an image with the forms of the scan that it belongs to."""
    kept = place.header.kept
    forms = kept if isinstance(kept, Forms) else forms_of(place.affine)
    header = forms.new_header()
    header.set_data_dtype(array.dtype)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode()[:79]
    kind = nibabel.Nifti2Image if forms.is_nifti2 else nibabel.Nifti1Image
    # No affine: nibabel would write both forms anew from it.
    return kind(array, None, header)


def _add_names(
    image: nibabel.Nifti1Image, names: Mapping[int, str], description: str
) -> str:
    """Put label names into the header; return the same as text."""
    about: dict[str, Any] = {
        "notice": NOTICE,
        "description": description,
        "labels": {str(int(value)): name for value, name in names.items()},
    }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    image.header.extensions.append(
        nibabel.nifti1.Nifti1Extension(COMMENT_EXTENSION, text.encode())
    )
    return text


def _write_image(path: Path, image: nibabel.Nifti1Image) -> None:
    data = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        # Without the time of writing: equal volumes are equal files.
        data = gzip.compress(data, GZIP_LEVEL, mtime=0)
    write_whole(path, data)


def _storable(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype in (np.float16, np.float64):
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64, np.uint32):
        limits = np.iinfo(np.int32)
        if array.size and not (
            limits.min <= array.min() and array.max() <= limits.max
        ):
            raise ValueError(f"array: {array.dtype} values exceed 32 bits.")
        return array.astype(np.int32)
    return array
