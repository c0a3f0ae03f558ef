"""The header of a NIfTI file: what is read of it, or why it is refused.

In: the first bytes of a file. Out: `NiftiHeader`. Free text (description,
names, extensions) is never looked at: it may name a patient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import nibabel
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from tfpartial.errors import InputError
from tfpartial.scans.formats.nifti_forms import check_forms_agree, place_of
from tfpartial.scans.orientation import split_affine
from tfpartial.scans.volume import Header, Placement

MAX_VOXELS = 2**30
MAX_BYTES = 2**32
# Extensions before the voxels, such as a DICOM header.
MAX_OFFSET = 2**24
SPACING_TOLERANCE = 0.01
# 2 is mm; 0 is unknown, which writers of mm leave there too.
UNITS_OTHER_THAN_MM = {1: "metres", 3: "micrometres"}
# A squared quaternion may be so much longer than 1; it is normalised.
QUATERNION_TOLERANCE = 1e-3


class _Nifti1(nibabel.Nifti1Header):
    """A header whose quaternion may be a hair longer than 1."""

    def get_qform_quaternion(self) -> np.ndarray:
        """Return (w, x, y, z); what makes a rotation of it normalises it."""
        return _quaternion(self, super().get_qform_quaternion)


class _Nifti2(nibabel.Nifti2Header):
    """Likewise."""

    def get_qform_quaternion(self) -> np.ndarray:
        """Return (w, x, y, z)."""
        return _quaternion(self, super().get_qform_quaternion)


def _quaternion(
    header: nibabel.Nifti1Header, strict: Callable[[], np.ndarray]
) -> np.ndarray:
    try:
        return strict()
    except ValueError:
        b, c, d = (float(header[f"quatern_{axis}"]) for axis in "bcd")
        if not b * b + c * c + d * d <= 1 + QUATERNION_TOLERANCE:
            raise
        return np.array([0.0, b, c, d])


_CLASSES = {348: _Nifti1, 540: _Nifti2}


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What a NIfTI header says of its voxels.

    Attributes:
        shape: (I, J, K); trailing axes of length 1 are dropped.
        dtype: of the stored voxels, byte order included.
        affine: (4, 4) float64, voxel -> RAS+ mm.
        place: which form it is, and what the others say.
        offset: bytes before the voxels.
        slope: of the scaling; None: none.
        intercept: of the scaling; None: none.
        num_read: bytes of the header itself.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    affine: np.ndarray
    place: Header
    offset: int
    slope: float | None
    intercept: float | None
    num_read: int

    @property
    def num_bytes(self) -> int:
        """Bytes of all stored voxels."""
        i, j, k = self.shape
        return i * j * k * self.dtype.itemsize

    def scaled(self, array: np.ndarray) -> np.ndarray:
        """Return stored * slope + intercept, in native byte order."""
        array = apply_read_scaling(array, self.slope, self.intercept)
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def parse_header(
    stream: IO[bytes], path: Path, placement: Placement
) -> NiftiHeader:
    """Read and check a header.

    Args:
        stream: at its first byte; left after the header's last one.
        path: named in messages.
        placement: what is declared of ambiguous headers.

    Raises:
        InputError: not NIfTI, not 3D, voxels that are no real numbers, no or
            unusable orientation, forms that disagree, a contradiction, an
            absurd size.
    """
    raw, checked, num_read = _nibabel_header(stream, path)
    try:
        full_shape = checked.get_data_shape()
        dtype = checked.get_data_dtype()
        offset = checked.get_data_offset() or checked.single_vox_offset
        slope, intercept = checked.get_slope_inter()
        affine, place = place_of(raw, checked, placement, path)
    except InputError:
        raise
    except Exception as error:  # damaged headers raise nearly anything
        raise _damaged(path, error) from None
    shape = _checked_shape(path, full_shape)
    _check_voxels(path, shape, dtype)
    _check_unit(path, checked)
    if not num_read <= offset <= MAX_OFFSET:
        raise InputError(
            f"{path}: expected voxels after {num_read} to {MAX_OFFSET} bytes, "
            f"found vox_offset {offset}: the header is damaged. Convert the "
            "scan again."
        )
    spacing = split_affine(affine, str(path))[1]
    if placement.affine is None:
        _check_spacing(path, raw, spacing)
    check_forms_agree(shape, affine, place, path)
    if slope is not None:
        place = replace(place, slope=slope, intercept=intercept or 0.0)
    return NiftiHeader(
        shape, dtype, affine, place, offset, slope, intercept, num_read
    )


def _nibabel_header(
    stream: IO[bytes], path: Path
) -> tuple[nibabel.Nifti1Header, nibabel.Nifti1Header, int]:
    """Return the header as it stands, and as nibabel repairs it."""
    block = stream.read(4)
    sizes = {int.from_bytes(block, order) for order in ("little", "big")}
    for size, kind in _CLASSES.items():
        if size not in sizes:
            continue
        block += stream.read(size - len(block))
        try:
            raw = kind(block, check=False)
            with np.errstate(all="ignore"):
                checked = kind(block, check=True)
            if raw["magic"].item() == raw.single_magic:
                return raw, checked, size
            error = ValueError(f"magic {raw['magic'].item()!r}")
        except Exception as caught:  # nearly anything, as above
            raise _damaged(path, caught) from None
        raise _damaged(path, error)
    raise _damaged(path, ValueError(f"it begins with {block!r}"))


def _damaged(path: Path, error: Exception) -> InputError:
    reason = (str(error) or type(error).__name__).rstrip(".")
    return InputError(
        f"{path}: expected a NIfTI file (.nii or .nii.gz), found one that is "
        f"damaged or not NIfTI ({reason}). Convert or copy it again."
    )


def _checked_shape(
    path: Path, full_shape: tuple[int, ...]
) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in full_shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"{path}: expected a 3D volume, found the shape {shape}. Split it "
            "into volumes of three axes."
        )
    i, j, k = shape
    return i, j, k


def _check_voxels(
    path: Path, shape: tuple[int, int, int], dtype: np.dtype
) -> None:
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: expected real numbers as voxels, found {dtype} (complex "
            "or colour). Convert it to one intensity per voxel."
        )
    i, j, k = shape
    voxels = i * j * k
    if voxels > MAX_VOXELS or voxels * dtype.itemsize > MAX_BYTES:
        raise InputError(
            f"{path}: expected at most {MAX_VOXELS} voxels and {MAX_BYTES} "
            f"bytes, found the shape {shape} of {dtype}. Is the header "
            "damaged? Crop the scan otherwise, or store it as int16."
        )


def _check_unit(path: Path, header: nibabel.Nifti1Header) -> None:
    """Refuse other units than mm."""
    unit = UNITS_OTHER_THAN_MM.get(int(header["xyzt_units"]) % 8)
    if unit:
        raise InputError(
            f"{path}: expected lengths in mm, found {unit} (xyzt_units). "
            "Convert the header to mm."
        )


def _check_spacing(
    path: Path, raw: nibabel.Nifti1Header, spacing: np.ndarray
) -> None:
    """Compare pixdim, unrepaired (zero, minus signs), with the affine."""
    pixdim = np.asarray(raw["pixdim"][1:4], np.float64)
    if not np.allclose(pixdim, spacing, rtol=SPACING_TOLERANCE, atol=0):
        raise InputError(
            f"{path}: expected the header's spacing (pixdim) to be that of "
            f"its affine, {spacing.tolist()} mm, found {pixdim.tolist()} mm. "
            "Which of them is right cannot be known: correct the header, or "
            "declare `affine: sform` or `affine: qform` (predict.affine)."
        )
