"""NIfTI out: a file appears whole or not at all, and says what it is for.

In: `Volume`s and label names. Out: .nii.gz, and a JSON beside it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np

from tfpartial.errors import InputError
from tfpartial.files.whole_file import write_whole
from tfpartial.scans.volume import Volume

NOTICE = "Research use only"
COMMENT_EXTENSION = 6
GZIP_LEVEL = 3


def write_volume(
    path: str | Path,
    volume: Volume,
    names: Mapping[int, str] | None = None,
    description: str = NOTICE,
) -> None:
    """Write a volume; the file appears whole or not at all.

    Label names go into the header extension as JSON and into `<stem>.json`
    beside the file, both with the notice "Research use only".

    Args:
        path: ends in .nii.gz or .nii; its folder is made.
        volume: what to write; float64 becomes float32, bool uint8, int64
            int32.
        names: stored value -> name; None writes no extension and no JSON.
        description: header field `descrip`, cut to 79 bytes.

    Raises:
        InputError: another file ending.
        ValueError: 64-bit integers that do not fit 32 bits.
    """
    path = Path(path)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(
            f"{path}: expected a name that ends in .nii.gz or .nii, found "
            f"'{path.name}'."
        )
    image = nibabel.Nifti1Image(_storable(volume.array), volume.affine)
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode()[:79]
    path.parent.mkdir(parents=True, exist_ok=True)
    if names is not None:
        about = {
            "notice": NOTICE,
            "description": description,
            "labels": {str(int(value)): name for value, name in names.items()},
        }
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        image.header.extensions.append(
            nibabel.nifti1.Nifti1Extension(COMMENT_EXTENSION, text.encode())
        )
        # The JSON first: where the volume is, its names are.
        write_whole(path.with_name(stem + ".json"), text)
    data = image.to_bytes()
    if path.name.endswith(".gz"):
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
