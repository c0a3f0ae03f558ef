"""Compressed pixels that others wrote: ITK's and those shipped with pydicom."""

from __future__ import annotations

import made_dicom as made
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file

from tfpartial.dicom import find_series


def read(path):
    (series,) = find_series(path)
    return series.read()


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_lossless_pixels_of_itk(tmp_path, compressor):
    """ "JPEG" is process 14, selection value 1: what most archives hold."""
    hu = made.random_hu((40, 34, 1))
    image = sitk.GetImageFromArray(hu.T)
    for tag, value in {
        "0008|0060": "CT",
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0020|0032": "0\\0\\0",
        "0018|0050": "2",
        "0028|1052": "-1024",
        "0028|1053": "1",
    }.items():
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.SetFileName(str(tmp_path / "one.dcm"))
    writer.Execute(image)
    syntax = pydicom.dcmread(tmp_path / "one.dcm").file_meta.TransferSyntaxUID
    assert syntax.endswith(".4.70" if compressor == "JPEG" else ".4.90")
    np.testing.assert_array_equal(read(tmp_path).array, hu)


@pytest.mark.parametrize(
    "name",
    ["RLE", "bigendian", "expb", "jp2klossless", "jpeg_ls_lossless", "padded"],
)
def test_one_image_in_every_transfer_syntax(tmp_path, name):
    """An MR image in truth: it passes for a CT of slope 1."""
    for part in ("", f"_{name}"):
        path = get_testdata_file(f"MR_small{part}.dcm", download=False)
        image = pydicom.dcmread(path)
        image.SOPClassUID = made.CT
        folder = tmp_path / f"a{part}"
        folder.mkdir()
        image.save_as(folder / "image")
    np.testing.assert_array_equal(
        read(tmp_path / f"a_{name}").array, read(tmp_path / "a").array
    )


@pytest.mark.parametrize("name", ["693_J2KI", "J2K_pixelrep_mismatch"])
def test_jpeg_2000_as_gdcm_reads_it(name):
    """Lossy; and one whose stream and header disagree about the sign."""
    path = get_testdata_file(f"{name}.dcm", download=False)
    array = sitk.GetArrayFromImage(sitk.ReadImage(path)).T
    found = read(path).array
    if name == "693_J2KI":  # lossy decoders round differently
        assert np.abs(found.astype(int) - array).max() <= 1
    else:
        np.testing.assert_array_equal(found, array)
