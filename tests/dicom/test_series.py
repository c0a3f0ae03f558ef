"""CT series: voxels, affines, what lies beside them, what is refused."""

from __future__ import annotations

import dataclasses

import made_dicom as made
import numpy as np
import pytest
import SimpleITK as sitk

from tfpartial.dicom import check_series, find, find_series
from tfpartial.errors import InputError

HU = made.random_hu((7, 5, 6))


def only(path):
    (series,) = find_series(path)
    return series


@pytest.mark.parametrize("place", made.PLACES)
def test_voxels_and_affine_are_those_that_were_written(tmp_path, place):
    written = made.PLACES[place]
    volume = only(made.write_series(tmp_path, HU, written)).read()
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(
        volume.affine, made.LPS_TO_RAS @ written, atol=1e-6
    )


def test_patient_position_is_not_geometry(tmp_path):
    files = made.series_files(HU, made.PLACES["prone"])
    for one in files:
        one.PatientPosition = "FFP"
    volume = only(made.write(files, tmp_path)).read()
    np.testing.assert_allclose(
        volume.affine, made.LPS_TO_RAS @ made.PLACES["prone"], atol=1e-6
    )


def test_slices_stored_from_head_to_feet_are_turned_round(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])[::-1]
    np.testing.assert_array_equal(
        only(made.write(files, tmp_path)).read().array, HU
    )


def test_enhanced_frames_lie_where_they_say(tmp_path):
    place = made.PLACES["oblique"]
    one = made.enhanced(HU, place, [3, 0, 5, 1, 4, 2])
    one.save_as(tmp_path / "mf")
    volume = only(tmp_path).read()
    np.testing.assert_array_equal(volume.array, HU)
    np.testing.assert_allclose(
        volume.affine, made.LPS_TO_RAS @ place, atol=1e-6
    )


def test_slope_and_intercept_are_those_of_each_slice(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    for k, one in enumerate(files):
        one.RescaleSlope, one.RescaleIntercept = 0.5 + k, -10 * k
    volume = only(made.write(files, tmp_path)).read()
    k = np.arange(6)
    expected = (HU.astype(np.float64) + 1024) * (0.5 + k) - 10 * k
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, expected, rtol=1e-6)


def test_values_beyond_16_bits_are_kept(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    files[3].RescaleIntercept = 60000
    array = only(made.write(files, tmp_path)).read().array
    np.testing.assert_array_equal(array[..., 3], HU[..., 3].astype(int) + 61024)
    np.testing.assert_array_equal(array[..., 2], HU[..., 2])


def test_bits_above_those_stored_do_not_count(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    for one in files:
        stored = np.frombuffer(one.PixelData, "<u2")
        one.PixelData = (stored | 0xF000).tobytes()
        one.BitsStored, one.HighBit = 12, 11
    np.testing.assert_array_equal(
        only(made.write(files, tmp_path)).read().array, HU
    )


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2",  # implicit
        "1.2.840.10008.1.2.1.99",  # deflated
        "1.2.840.10008.1.2.2",  # big endian
        "1.2.840.10008.1.2.5",  # run lengths
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    ],
)
def test_transfer_syntaxes_hold_the_same_voxels(tmp_path, syntax):
    hu = made.random_hu((40, 34, 3))
    files = made.series_files(hu, made.PLACES["axial"])
    for one in files:
        if syntax.endswith((".5", ".90")):
            one.compress(syntax)
        elif syntax.endswith(".2.2"):
            one.PixelData = (
                np.frombuffer(one.PixelData, "<u2").byteswap().tobytes()
            )
        one.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(
        only(made.write(files, tmp_path)).read().array, hu
    )


def test_what_lies_beside_a_series_is_counted_not_read(tmp_path):
    folder = made.write_series(tmp_path / "a" / "b", HU, made.PLACES["axial"])
    scout = made.series_files(HU[:, :, :1], made.PLACES["axial"])[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    capture = made.file(made.SECONDARY_CAPTURE, "CT")
    made.write([scout, capture], tmp_path / "other")
    made.structure_set({"Heart": []}).save_as(folder / "plan")
    (folder / "notes.txt").write_text("scanned on a Monday")
    (folder / "more.zip").write_bytes(b"PK\x03\x04" + b"\0" * 200)
    (folder / "._000_0").write_bytes(b"\0" * 200)  # of a Mac
    found = find(tmp_path)
    assert [one.grid.shape for one in found.series] == [HU.shape]
    assert found.structure_sets == (folder / "plan",)
    assert found.others == {
        "localizer": 1,
        "Secondary Capture Image Storage": 1,
        "not DICOM": 1,
        "zip archive (unpack it)": 1,
    }


def test_a_scout_within_its_series_is_left_out(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"], series="1.9")
    turned = made.affine(made.rotation("x", 90))
    scout = made.series_files(HU[:, :, :1], turned, series="1.9")
    made.write(files + scout, tmp_path)
    found = find(tmp_path)
    assert found.series[0].grid.shape == HU.shape
    assert found.others["localizer"] == 1


def test_series_in_one_folder_are_told_apart_by_uid(tmp_path):
    first = made.series_files(HU, made.PLACES["axial"])
    second = made.series_files(HU[:4], made.PLACES["prone"])
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    shapes = {s.grid.shape for s in find_series(made.write(mixed, tmp_path))}
    assert shapes == {HU.shape, (4, 5, 6)}


def test_emptied_uids_leave_the_folder_as_the_series(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    for one in files:
        one.SeriesInstanceUID = one.SOPInstanceUID = one.SOPClassUID = ""
    made.write(files, tmp_path)
    np.testing.assert_array_equal(only(tmp_path).read().array, HU)


def test_copies_of_a_slice_count_once(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    made.write(files, tmp_path / "a")
    made.write(files[2:4], tmp_path / "b")
    series = only(tmp_path)
    np.testing.assert_array_equal(series.read().array, HU)
    assert "2" in series.notes[0]


def test_two_different_slices_at_one_place_are_refused(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"], series="1.9")
    other = made.series_files(HU + 1, made.PLACES["axial"], series="1.9")
    series = only(made.write(files + other, tmp_path))
    with pytest.raises(InputError, match="6 of 6 places") as error:
        series.read()
    assert len(error.value.faults) == 1


def test_missing_slices_are_named(tmp_path):
    files = made.series_files(HU, made.TILT)
    del files[3]
    with pytest.raises(InputError, match="1 slice is missing") as error:
        only(made.write(files, tmp_path)).read()
    (fault,) = error.value.faults
    assert "slices 3 and 4" in fault
    assert str(tmp_path) in fault
    assert "014_2, 021_3" in fault


def test_distances_that_vary_are_named(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    for k in (4, 5):
        made.put_place(files[k], made.PLACES["axial"], 4 + (k - 3.6) * 1.4)
    with pytest.raises(InputError) as error:
        _ = only(made.write(files, tmp_path)).grid
    assert "3.9 mm between slices 4 and 5" in str(error.value)
    assert "2.5 mm is usual" in str(error.value)


def test_rounded_positions_are_equal_distances(tmp_path):
    place = made.affine()
    place[2, 2] = 0.625
    files = made.series_files(HU, place)
    for one in files:
        one.ImagePositionPatient = [
            f"{float(v):.2f}" for v in one.ImagePositionPatient
        ]
    grid = only(made.write(files, tmp_path)).grid
    assert grid.spacing_mm[2] == pytest.approx(0.625, abs=0.005)


def test_slices_of_another_size_are_refused(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"], series="1.9")
    files[2:4] = made.series_files(HU[:5], made.PLACES["axial"], series="1.9")[
        2:4
    ]
    with pytest.raises(InputError, match="of one size"):
        _ = only(made.write(files, tmp_path)).grid


def test_one_slice_takes_its_thickness(tmp_path):
    made.write_series(tmp_path, HU[:, :, :1], made.PLACES["axial"])
    assert only(tmp_path).grid.spacing_mm == pytest.approx((0.8, 1.1, 7))


def test_faults_of_several_series_come_together(tmp_path):
    for name in ("a", "b", "c"):
        files = made.series_files(HU, made.PLACES["axial"])
        made.write(
            files[: 6 if name == "c" else 3] + files[5:], tmp_path / name
        )
    with pytest.raises(InputError) as error:
        check_series(find_series(tmp_path))
    faults = error.value.faults
    assert len(faults) == 2
    assert str(tmp_path / "a") in faults[0]
    assert str(tmp_path / "b") in faults[1]


def test_nothing_identifying_is_told(tmp_path):
    files = made.series_files(HU, made.PLACES["axial"])
    del files[3]
    files[0].SeriesDescription = "DoeJane_1970"
    files[1].PixelSpacing = ["0.8", "0.9"]
    series = only(made.write(files, tmp_path))
    with pytest.raises(InputError) as error:
        series.read()
    for told in (str(error.value), repr(series), repr(find(tmp_path))):
        assert "Doe" not in told
        assert series.uid not in told
    assert series.patient_id == "DoeJane_1970"


def test_an_archive_is_no_series(tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK\x03\x04" + b"\0" * 200)
    with pytest.raises(InputError, match="zip archive"):
        find_series(tmp_path / "scan.zip")


def test_links_to_folders_are_followed_once(tmp_path):
    folder = made.write_series(tmp_path / "store", HU, made.PLACES["axial"])
    patient = tmp_path / "patient"
    patient.mkdir()
    (patient / "ct").symlink_to(folder)
    (folder / "circle").symlink_to(patient)
    assert only(patient).notes == ()
    assert only(patient).grid.shape == HU.shape


def test_paths_that_lead_nowhere_are_all_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError) as error:
        find([tmp_path, tmp_path / "none"])
    assert len(error.value.faults) == 2


@pytest.mark.parametrize("place", ["axial", "prone", "decubitus", "oblique"])
def test_gdcm_reads_the_same(tmp_path, place):
    folder = made.write_series(tmp_path, HU, made.PLACES[place])
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    volume = only(folder).read()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, volume.array)
    corner = image.TransformIndexToPhysicalPoint([6, 4, 5])
    np.testing.assert_allclose(
        made.LPS_TO_RAS[:3, :3] @ corner,
        (volume.affine @ [6, 4, 5, 1])[:3],
        atol=1e-4,
    )


def test_the_order_of_slices_given_does_not_matter(tmp_path):
    series = only(made.write_series(tmp_path, HU, made.PLACES["axial"]))
    again = dataclasses.replace(series, slices=series.slices[::-1])
    np.testing.assert_array_equal(again.read().array, HU)
