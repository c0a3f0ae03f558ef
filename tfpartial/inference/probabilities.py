"""Probabilities as 4D NIfTI of 16 bits.

In: (I, J, K, L) float16, from `predict.predict_scan`. Out: one file.
NIfTI has no float16, so multiples of 2^-15 are stored as uint16 with that
number as header slope: any reader scales them back, 0 and 1 are exact, and
the file is as small as float16 would be.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np

from tfpartial.files.whole_file import write_whole

# 0 .. 1 becomes 0 .. 32768; the slope is exact in the header's float32.
SLOPE = 2.0**-15


def write_probabilities(
    path: Path,
    probabilities: np.ndarray,
    affine: np.ndarray,
    names: Mapping[int, str],
) -> None:
    """Write probabilities; the file appears whole or not at all.

    Args:
        path: ends in .nii.gz; its folder exists.
        probabilities: (I, J, K, L) in [0, 1]; label last in the file too.
        affine: (4, 4) of the scan.
        names: label index -> name, kept in the header extension as JSON.
    """
    image = nibabel.Nifti1Image(_quantise(probabilities), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(SLOPE, 0)
    image.header["descrip"] = b"Research use only"
    about = {
        "notice": "Research use only",
        "labels": {str(index): name for index, name in names.items()},
    }
    image.header.extensions.append(
        nibabel.nifti1.Nifti1Extension(6, json.dumps(about).encode())
    )
    data = gzip.compress(image.to_bytes(), compresslevel=3, mtime=0)
    write_whole(path, data)


def _quantise(probabilities: np.ndarray) -> np.ndarray:
    """Return uint16 multiples of 2^-15, nearest."""
    return np.rint(probabilities.astype(np.float32) / SLOPE).astype(np.uint16)
