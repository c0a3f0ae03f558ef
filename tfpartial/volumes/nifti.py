"""NIfTI in: what is read is a 3D scan in mm with an orientation, or refused.

In: paths. Out: `Volume`s. Only this module and `nifti_write` import nibabel.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from tfpartial.errors import InputError
from tfpartial.volumes.orientation import split_affine
from tfpartial.volumes.volume import Volume

MAX_VOXELS = 2**30
SPACING_TOLERANCE = 0.01
# 2 is mm; 0 is unknown, which writers of mm leave there too.
UNITS_OTHER_THAN_MM = {1: "metres", 3: "micrometres"}


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
            size.
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
    image = _open(path)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    _check_header(path, image, shape)
    affine = np.asarray(image.affine, np.float64)
    _check_spacing(path, image, split_affine(affine, str(path))[1])
    array = _voxels(path, image).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False), affine


def _open(path: Path) -> nibabel.Nifti1Pair:
    if not path.is_file():
        raise InputError(
            f"{path}: expected a NIfTI file, found "
            f"{'a folder' if path.is_dir() else 'nothing there'}. Check the "
            "path."
        )
    try:
        with np.errstate(all="ignore"):
            image = nibabel.load(path, mmap=False)
    except Exception as error:  # damaged headers raise nearly anything
        raise InputError(
            f"{path}: expected a NIfTI file (.nii or .nii.gz), found one that "
            f"is damaged or not NIfTI ({_first_line(error)}). Convert or copy "
            "it again."
        ) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError(
            f"{path}: expected a NIfTI file (.nii or .nii.gz), found "
            f"{type(image).__name__}. Convert it to NIfTI."
        )
    return image


def _check_header(
    path: Path, image: nibabel.Nifti1Pair, shape: tuple[int, ...]
) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"{path}: expected a 3D volume, found the shape {image.shape}. "
            "Split it into volumes of three axes."
        )
    if np.prod(np.asarray(shape, np.float64)) > MAX_VOXELS:
        raise InputError(
            f"{path}: expected at most {MAX_VOXELS} voxels, found the shape "
            f"{shape}. Is the header damaged? Crop the scan otherwise."
        )
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: expected real numbers as voxels, found {dtype} (complex "
            "or colour). Convert it to one intensity per voxel."
        )
    header = image.header
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        raise InputError(
            f"{path}: expected an sform or a qform, found both codes 0: the "
            "scan has no orientation, left and right are unknown. Convert it "
            "again from the original (DICOM)."
        )
    unit = UNITS_OTHER_THAN_MM.get(int(header["xyzt_units"]) % 8)
    if unit:
        raise InputError(
            f"{path}: expected lengths in mm, found {unit} (xyzt_units). "
            "Convert the header to mm."
        )


def _check_spacing(
    path: Path, image: nibabel.Nifti1Pair, spacing: np.ndarray
) -> None:
    # From the file itself: nibabel has replaced zero by 1 mm and dropped
    # minus signs in the header that it hands out.
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj("rb") as file:
        header = type(image.header).from_fileobj(file, check=False)
    pixdim = np.asarray(header["pixdim"][1:4], np.float64)
    if not np.allclose(pixdim, spacing, rtol=SPACING_TOLERANCE, atol=0):
        raise InputError(
            f"{path}: expected the header's spacing (pixdim) to be that of "
            f"its affine, {spacing.tolist()} mm, found {pixdim.tolist()} mm. "
            "Which of them is right cannot be known: correct the header."
        )


def _voxels(path: Path, image: nibabel.Nifti1Pair) -> np.ndarray:
    try:
        if path.name.endswith(".gz") and isinstance(image, nibabel.Nifti1Image):
            image = _load_gzip(path, image)
        return np.asanyarray(image.dataobj)
    except Exception as error:  # damaged streams raise nearly anything
        raise InputError(
            f"{path}: expected {image.shape} voxels of "
            f"{image.get_data_dtype()}, found a truncated or damaged file: "
            f"{_first_line(error)}. Copy it again."
        ) from error


def _load_gzip(path: Path, image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """Read to the end of the stream: only there is its checksum tested."""
    proxy: Any = image.dataobj
    size = proxy.offset + proxy.dtype.itemsize * int(np.prod(image.shape))
    with gzip.open(path) as stream:
        data = stream.read(size)
        while stream.read(2**20):
            pass
    return type(image).from_bytes(data)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
