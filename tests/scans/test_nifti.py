"""What the NIfTI door lets in, what it refuses, what it writes."""

import gzip
import json
import os

import nibabel
import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.scans import (
    Placement,
    Volume,
    check_same_grid,
    read_image,
    read_labels,
    write_volume,
)
from tfpartial.scans.volume import Header

AFFINE = np.array(
    [[-1.5, 0, 0, 90.5], [0, -1.5, 0, 70.25], [0, 0, 3, -400], [0, 0, 0, 1]]
)


def _save(path, array, affine=AFFINE, sform=1, qform=1, **header):
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


def _patched(path, array, offset, data):
    """A file with some bytes of its header replaced."""
    _save(path, array)
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(data)] = data
    path.write_bytes(bytes(raw))
    return path


@pytest.fixture
def hu():
    rng = np.random.default_rng(0)
    return rng.integers(-1000, 2000, (5, 6, 7)).astype(np.int16)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_stored_integers_and_affine_are_kept(tmp_path, hu, ending):
    volume = read_image(_save(tmp_path / f"a{ending}", hu))
    assert volume.array.dtype == np.int16
    assert (volume.array == hu).all()
    assert (volume.affine == AFFINE).all()
    assert volume.spacing_mm == (1.5, 1.5, 3.0)


def test_slope_and_intercept_are_applied(tmp_path, hu):
    image = nibabel.Nifti1Image(hu, AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    image.to_filename(tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").dataobj.get_unscaled()
    volume = read_image(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, stored * 2.0 - 1024.0)


def test_float64_becomes_float32_and_big_endian_native(tmp_path, hu):
    volume = read_image(_save(tmp_path / "a.nii", hu.astype(np.float64)))
    assert volume.array.dtype == np.float32
    image = nibabel.Nifti1Image(
        hu, AFFINE, nibabel.Nifti1Header(endianness=">")
    )
    image.to_filename(tmp_path / "b.nii")
    big = read_image(tmp_path / "b.nii")
    assert big.array.dtype.isnative
    assert (big.array == hu).all()


def test_trailing_axis_of_one_is_dropped(tmp_path, hu):
    volume = read_image(_save(tmp_path / "a.nii.gz", hu[..., None]))
    assert (volume.array == hu).all()


def test_qform_alone_is_enough(tmp_path, hu):
    volume = read_image(_save(tmp_path / "a.nii", hu, sform=0))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)


def test_missing_folder_and_other_formats_are_named(tmp_path, hu):
    (tmp_path / "text.nii.gz").write_text("not a scan")
    (tmp_path / "plain.nii").write_bytes(b"")
    nibabel.MGHImage(hu, AFFINE).to_filename(tmp_path / "a.mgz")
    for name, words in (
        ("none.nii.gz", "nothing there"),
        ("", "a folder"),
        ("text.nii.gz", "damaged or not NIfTI"),
        ("plain.nii", "damaged or not NIfTI"),
        ("a.mgz", "the name 'a.mgz'"),
    ):
        with pytest.raises(InputError, match=f"expected a NIfTI.*{words}"):
            read_image(tmp_path / name)


def _large():
    """More than one buffer, so that the header alone can be read."""
    rng = np.random.default_rng(0)
    return rng.integers(-1000, 2000, (40, 40, 40)).astype(np.int16)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_file_is_refused(tmp_path, ending):
    path = _save(tmp_path / f"a{ending}", _large())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="a.nii.*truncated or damaged"):
        read_image(path)


def test_checksum_of_the_stream_is_tested(tmp_path):
    path = _save(tmp_path / "a.nii.gz", _large())
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1  # the CRC, which a reader of the voxels alone never meets
    path.write_bytes(bytes(raw))
    with pytest.raises(InputError, match="damaged.*CRC"):
        read_image(path)


def test_shapes_other_than_3d_are_refused(tmp_path, hu):
    for array in (hu[0], np.stack([hu, hu], -1)):
        path = _save(tmp_path / "a.nii", array)
        with pytest.raises(InputError, match="expected a 3D volume.*shape"):
            read_image(path)


@pytest.mark.parametrize(
    "dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]]
)
def test_complex_and_colour_are_refused(tmp_path, dtype):
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype), AFFINE).to_filename(path)
    with pytest.raises(InputError, match="expected real numbers.*colour"):
        read_image(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_voxels_that_are_no_numbers_are_counted(tmp_path, hu, bad):
    array = hu.astype(np.float64)
    array[0, 0, :2] = bad
    with pytest.raises(InputError, match="finite voxels, found 2"):
        read_image(_save(tmp_path / "a.nii", array))


def test_no_orientation_is_refused(tmp_path, hu):
    # qform_code and sform_code; nibabel itself would not write both as 0.
    path = _patched(tmp_path / "a.nii", hu, 252, bytes(4))
    with pytest.raises(InputError, match="has no orientation.*left and right"):
        read_image(path)


def test_unusable_affines_are_refused(tmp_path, hu):
    singular, broken = AFFINE.copy(), AFFINE.copy()
    singular[:, 0] = 0
    broken[0, 3] = np.nan
    for affine, words in (
        (singular, "spacings"),
        (broken, "finite"),
    ):
        image = nibabel.Nifti1Image(hu, None)
        image.header["sform_code"] = 1
        for row, field in zip(
            affine, ("srow_x", "srow_y", "srow_z"), strict=False
        ):
            image.header[field] = row
        nibabel.save(image, tmp_path / "a.nii")
        with pytest.raises(InputError, match=f"a.nii.*{words}"):
            read_image(tmp_path / "a.nii")


@pytest.mark.parametrize("pixdim", [0.0, -1.5, 15.0])
def test_spacing_that_contradicts_the_affine_is_refused(tmp_path, hu, pixdim):
    data = np.float32(pixdim).tobytes()
    path = _patched(tmp_path / "a.nii", hu, 80, data)
    with pytest.raises(InputError, match=f"pixdim.*{pixdim}"):
        read_image(path)


def test_absurd_size_is_refused_before_memory_is_asked_for(tmp_path, hu):
    data = np.array([32767] * 3, np.int16).tobytes()
    path = _patched(tmp_path / "a.nii", hu, 42, data)
    with pytest.raises(InputError, match="at most .* voxels.*damaged"):
        read_image(path)


def test_lengths_in_metres_are_refused(tmp_path, hu):
    with pytest.raises(InputError, match="mm, found metres"):
        read_image(_save(tmp_path / "a.nii", hu, xyzt_units=1))


def test_labels_keep_their_values(tmp_path):
    for values, dtype in (
        (np.array([0, 1, 255], np.float32), np.uint8),
        (np.array([0, 1, 256], np.int16), np.int32),
        (np.array([-1, 0, 2**31 - 1], np.int32), np.int32),
        (np.array([0, 10, 7], np.int64), np.uint8),
    ):
        image = nibabel.Nifti1Image(
            values.reshape(3, 1, 1), AFFINE, dtype=values.dtype
        )
        image.to_filename(tmp_path / "a.nii")
        labels = read_labels(tmp_path / "a.nii")
        assert labels.array.dtype == dtype
        assert labels.array.ravel().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "whole numbers.*0.5 and 1 more.*nearest"),
        (np.nan, "whole numbers.*nan"),
        (2.0**40, "32 bits"),
    ],
)
def test_values_that_are_no_labels_are_refused(tmp_path, value, words):
    array = np.array([0, value, value]).reshape(3, 1, 1)
    with pytest.raises(InputError, match=words):
        read_labels(_save(tmp_path / "a.nii", array))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_written_volume_reads_the_same(tmp_path, hu, ending):
    path = tmp_path / "new" / f"a{ending}"
    names = {0: "background", 7: "Brainstem", 300: "Glnd_Ö"}
    write_volume(path, Volume(hu, AFFINE), names, "by test")
    volume = read_image(path)
    assert (volume.array == hu).all()
    assert (volume.affine == AFFINE).all()
    about = json.loads((tmp_path / "new" / "a.json").read_text("utf-8"))
    assert about == {
        "notice": "Research use only",
        "description": "by test",
        "labels": {"0": "background", "7": "Brainstem", "300": "Glnd_Ö"},
    }
    image = nibabel.load(path)
    assert json.loads(image.header.extensions[0].get_content()) == about
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "a.json",
        f"a{ending}",
    ]


def test_without_names_the_notice_stands_in_the_header(tmp_path, hu):
    write_volume(tmp_path / "a.nii.gz", Volume(hu, AFFINE), None)
    assert not (tmp_path / "a.json").exists()
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert header["descrip"].item() == b"Research use only"


def test_equal_volumes_are_equal_files(tmp_path, hu):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, Volume(hu, AFFINE), {0: "background"})
    assert (tmp_path / "a.nii.gz").read_bytes() == (
        tmp_path / "b.nii.gz"
    ).read_bytes()
    gzip.decompress((tmp_path / "a.nii.gz").read_bytes())


@pytest.mark.parametrize(
    ("given", "stored"),
    [(bool, np.uint8), (np.float64, np.float32), (np.int64, np.int32),
     (np.uint16, np.uint16)],
)  # fmt: skip
def test_dtypes_on_disk(tmp_path, given, stored):
    array = np.array([0, 1]).reshape(2, 1, 1).astype(given)
    write_volume(tmp_path / "a.nii", Volume(array, AFFINE), None)
    assert read_image(tmp_path / "a.nii").array.dtype == stored


def test_integers_beyond_32_bits_are_not_cut(tmp_path):
    volume = Volume(np.full((1, 1, 1), 2**40), AFFINE)
    with pytest.raises(ValueError, match="exceed 32 bits"):
        write_volume(tmp_path / "a.nii", volume, None)


def test_a_failed_write_leaves_the_old_file(tmp_path, hu, monkeypatch):
    path = tmp_path / "a.nii.gz"
    write_volume(path, Volume(hu, AFFINE), None)
    before = path.read_bytes()

    def full_disk(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_volume(path, Volume(hu + 1, AFFINE), None)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_endings_are_refused(tmp_path, hu):
    with pytest.raises(InputError, match=r"\.nii\.gz.*found the name 'a\.png'"):
        write_volume(tmp_path / "a.png", Volume(hu, AFFINE), None)


def test_same_grid_or_refused(hu):
    image = Volume(hu, AFFINE)
    with pytest.raises(InputError, match=r"l.nii.*i.nii.*\(5, 6, 7\).*\(5, 6"):
        check_same_grid(image, Volume(hu[..., 1:], AFFINE), "i.nii", "l.nii")
    for shift, declared, refused in (
        (0.14, None, False),  # a tenth of 1.5 mm is allowed
        (0.16, None, True),
        (0.02, 0.01, True),
        (0.8, 1.0, False),
        (np.nan, None, True),
    ):
        moved = AFFINE.copy()
        moved[0, 3] += shift
        header = Header(placement=Placement(grid_tolerance_mm=declared))
        image, labels = Volume(hu, AFFINE, header), Volume(hu, moved)
        if refused:
            with pytest.raises(InputError, match=f"l.nii.*i.nii.*{shift} mm"):
                check_same_grid(image, labels, "i.nii", "l.nii")
        else:
            off = check_same_grid(image, labels, "i.nii", "l.nii")
            assert off == pytest.approx(shift)


def test_grids_are_compared_where_they_are_furthest_apart():
    """Entries that differ by 5e-4 add up over 600 voxels."""
    shape, turned = (600, 600, 2), AFFINE.copy()
    turned[0, 1] += 5e-4
    empty = np.broadcast_to(np.int16(0), shape)
    with pytest.raises(InputError, match=r"0\.2995 mm apart; 0\.15 mm"):
        check_same_grid(
            Volume(empty, AFFINE), Volume(empty, turned), "i.nii", "l.nii"
        )


def test_arguments_of_volume_are_checked():
    with pytest.raises(ValueError, match=r"expected \(I, J, K\)"):
        Volume(np.zeros((2, 2)), AFFINE)
    with pytest.raises(ValueError, match=r"expected \(4, 4\)"):
        Volume(np.zeros((2, 2, 2)), np.eye(3))


@pytest.mark.parametrize("highest", [3, 7, 117])
def test_labels_that_were_scaled_on_writing_are_whole_again(tmp_path, highest):
    """Whole numbers as float64 into an int16 header: nibabel scales them."""
    values = np.arange(highest + 1.0).reshape(-1, 1, 1)
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(values, AFFINE, dtype=np.int16).to_filename(path)
    assert nibabel.load(path).dataobj.slope < 0.01
    labels = read_labels(path)
    assert labels.array.dtype == np.uint8
    assert (labels.array == values).all()


@pytest.mark.parametrize("values", [(0, 0.5, 1), (0, 0.98, 3), (0.25, 1.25, 9)])
def test_what_no_scaling_explains_names_it(tmp_path, values):
    array = np.array(values).reshape(3, 1, 1)
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(array, AFFINE, dtype=np.int16).to_filename(path)
    with pytest.raises(InputError, match=r"a\.nii.*scl_slope"):
        read_labels(path)


def test_a_coarse_scaling_explains_nothing(tmp_path, hu):
    image = nibabel.Nifti1Image(hu, AFFINE)
    image.header.set_slope_inter(1.0, 0.5)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([1.0, 0.5], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(raw))
    with pytest.raises(InputError, match="scl_slope 1, scl_inter 0.5"):
        read_labels(tmp_path / "a.nii")


def test_a_quaternion_a_hair_longer_than_one_is_normalised(tmp_path, hu):
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])  # half a turn about y: c = 1
    affine = turn @ np.diag([2.0, 2.0, 3.0, 1.0])
    path = _save(tmp_path / "a.nii", hu, affine, sform=0)
    whole = read_image(path).affine
    for length, refused in ((1.0003, False), (1.1, True)):
        raw = bytearray(path.read_bytes())
        raw[260:264] = np.float32(length).tobytes()  # quatern_c
        path.write_bytes(bytes(raw))
        if refused:
            with pytest.raises(InputError, match="a.nii"):
                read_image(path)
        else:
            found = read_image(path).affine
            np.testing.assert_allclose(found, whole, atol=1e-6)


def test_nifti_2_is_read(tmp_path, hu):
    nibabel.Nifti2Image(hu, AFFINE).to_filename(tmp_path / "a.nii.gz")
    volume = read_image(tmp_path / "a.nii.gz")
    assert (volume.array == hu).all()
    assert (volume.affine == AFFINE).all()


def test_one_slice_is_a_scan(tmp_path, hu):
    volume = read_image(_save(tmp_path / "a.nii", hu[..., :1]))
    assert volume.shape == (5, 6, 1)
    assert (volume.array == hu[..., :1]).all()


def test_an_oblique_qform_is_where_it_says(tmp_path, hu):
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    path = _save(tmp_path / "a.nii", hu, turn @ AFFINE, sform=0)
    found = read_image(path)
    np.testing.assert_allclose(found.affine, turn @ AFFINE, atol=1e-4)
    assert (found.array == hu).all()


def test_blanks_umlauts_and_links_are_names_like_others(tmp_path, hu):
    folder = tmp_path / "Prüfung ö 1"
    folder.mkdir()
    path = _save(folder / "größe a.nii.gz", hu)
    link = tmp_path / "ein link.nii.gz"
    link.symlink_to(path)
    for name in (path, link):
        assert (read_image(name).array == hu).all()
