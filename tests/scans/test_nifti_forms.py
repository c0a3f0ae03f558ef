"""Two forms in one NIfTI header: which decides, and both are kept."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from tfpartial.errors import InputError
from tfpartial.scans import (
    Placement,
    Volume,
    check_same_grid,
    read_image,
    read_labels,
    write_volume,
)
from tfpartial.scans.formats import write_probabilities
from tfpartial.scans.volume import largest_distance_mm

AFFINE = np.array(
    [[-1.5, 0, 0, 90.5], [0, -1.5, 0, 70.25], [0, 0, 3, -400], [0, 0, 0, 1]]
)
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE
MIRRORED[:3, 3] += [30, 0, 0]
FIELDS = (
    *("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def save(path, sform, qform, kind=nibabel.Nifti1Image, values=None):
    """Write a scan; a form is (affine, code)."""
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    image = kind(array if values is None else values, None)
    image.header.set_qform(*qform)
    image.header.set_sform(*sform)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def fields_of(path):
    header = nibabel.load(path).header
    stored = {name: np.array(header[name]).tolist() for name in FIELDS}
    return stored | {"pixdim": header["pixdim"][:4].tolist()}


def itk_geometry(path):
    image = sitk.ReadImage(str(path))
    return image.GetOrigin(), image.GetSpacing(), image.GetDirection()


@pytest.mark.parametrize(
    ("sform", "qform", "right"),
    [
        ((AFFINE, 2), (AFFINE, 1), AFFINE),
        ((AFFINE, 0), (MIRRORED, 1), MIRRORED),
        ((MIRRORED, 4), (AFFINE, 0), MIRRORED),
    ],
)
def test_the_sform_decides_where_its_code_is_set(tmp_path, sform, qform, right):
    volume = read_image(save(tmp_path / "a.nii", sform, qform))
    np.testing.assert_allclose(volume.affine, right, atol=1e-4)


def test_forms_that_disagree_are_refused_with_both_and_the_remedy(tmp_path):
    path = save(tmp_path / "a.nii", (AFFINE, 2), (MIRRORED, 1))
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    for word in ("a.nii", "sform", "qform", "90.5", "affine: qform"):
        assert word in message


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_the_declared_form_decides(tmp_path, form):
    path = save(tmp_path / "a.nii", (AFFINE, 2), (MIRRORED, 1))
    volume = read_image(path, Placement(affine=form))
    right = {"sform": AFFINE, "qform": MIRRORED}[form]
    np.testing.assert_allclose(volume.affine, right, atol=1e-4)


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_form_that_is_not_there_cannot_decide(tmp_path, form):
    path = save(tmp_path / "a.nii", (AFFINE, 0), (MIRRORED, 1))
    volume = read_image(path, Placement(affine=form))
    np.testing.assert_allclose(volume.affine, MIRRORED, atol=1e-4)


def test_a_tenth_of_a_voxel_at_the_far_corner_is_the_limit(tmp_path):
    for shift, refused in ((0.14, False), (0.16, True)):  # of 1.5 mm
        other = AFFINE.copy()
        other[2, 3] += shift
        path = save(tmp_path / "a.nii", (AFFINE, 1), (other, 1))
        if refused:
            with pytest.raises(InputError, match=r"0\.16 mm apart"):
                read_image(path)
        else:
            assert (read_image(path).affine == AFFINE).all()


def test_the_largest_distance_is_that_of_a_corner():
    turn = np.eye(4)
    angle = 0.01
    turn[:2, :2] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    found = largest_distance_mm((41, 31, 2), np.eye(4), turn)
    assert found == pytest.approx(2 * np.sin(angle / 2) * 50, rel=1e-6)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    ("sform", "qform", "declared"),
    [
        ((AFFINE, 2), (MIRRORED, 1), "sform"),
        ((AFFINE, 2), (MIRRORED, 1), "qform"),
        ((AFFINE, 0), (AFFINE, 3), None),
        ((AFFINE, 4), (AFFINE, 0), None),
    ],
)
def test_outputs_carry_forms_and_codes_of_the_scan(
    tmp_path, kind, sform, qform, declared
):
    source = save(tmp_path / "a.nii", sform, qform, kind)
    scan = read_image(source, Placement(affine=declared))
    labels = Volume(np.ones(scan.shape, np.uint8), scan.affine, scan.header)
    write_volume(tmp_path / "labels.nii.gz", labels, {0: "background"})
    half = np.full((*scan.shape, 2), 0.5)
    write_probabilities(tmp_path / "p.nii.gz", half, scan, {0: "a", 1: "b"})
    for name in ("labels.nii.gz", "p.nii.gz"):
        assert fields_of(tmp_path / name) == fields_of(source)
    if kind is nibabel.Nifti1Image:  # ITK reads no other
        assert itk_geometry(tmp_path / "labels.nii.gz") == itk_geometry(source)
    again = read_labels(tmp_path / "labels.nii.gz", scan.header.placement)
    assert (again.affine == scan.affine).all()
    assert (again.array == 1).all()


def test_a_mask_that_follows_the_other_form_is_told_so(tmp_path):
    declared = Placement(affine="sform")
    ones = np.ones((5, 6, 7), np.uint8)
    both = save(tmp_path / "ct.nii", (AFFINE, 2), (MIRRORED, 1))
    image = read_image(both, declared)
    path = save(tmp_path / "m.nii", (MIRRORED, 1), (MIRRORED, 1), values=ones)
    with pytest.raises(InputError, match=r"the qform of ct\.nii.*its sform"):
        check_same_grid(image, read_labels(path), "ct.nii", "m.nii")
    both = save(tmp_path / "ct.nii", (AFFINE, 2), (AFFINE, 1))
    image = read_image(both, declared)
    path = save(tmp_path / "m.nii", (MIRRORED, 1), (AFFINE, 1), values=ones)
    with pytest.raises(InputError, match=r"qform of m\.nii would fit"):
        check_same_grid(image, read_labels(path, declared), "ct.nii", "m.nii")


@pytest.mark.parametrize(
    ("letters", "diagonal"), [("LAS", (-1.5, 1.5, 3)), ("RPI", (1.5, -1.5, -3))]
)
def test_files_without_a_form_follow_the_stated_orientation(
    tmp_path, letters, diagonal
):
    path = save(tmp_path / "a.nii", (AFFINE, 1), (AFFINE, 1))
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)  # nibabel itself would not write both codes as 0
    path.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"a\.nii.*`orientation`.*LAS"):
        read_image(path)
    stated = Placement(orientation=letters)
    scan = read_image(path, stated)
    assert (scan.affine == np.diag([*diagonal, 1])).all()
    labels = Volume(np.ones(scan.shape, np.uint8), scan.affine, scan.header)
    write_volume(tmp_path / "labels.nii", labels)
    assert fields_of(tmp_path / "labels.nii") == fields_of(path)
    assert (read_labels(tmp_path / "labels.nii", stated).array == 1).all()


def test_axes_are_stated_in_any_order(tmp_path):
    path = save(tmp_path / "a.nii", (AFFINE, 0), (AFFINE, 1))
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)
    path.write_bytes(bytes(raw))
    affine = read_image(path, Placement(orientation="PIR")).affine
    right = [[0, 0, 3, 0], [-1.5, 0, 0, 0], [0, -1.5, 0, 0], [0, 0, 0, 1]]
    assert affine.tolist() == right


def test_a_stated_orientation_leaves_forms_alone(tmp_path):
    path = save(tmp_path / "a.nii", (AFFINE, 1), (AFFINE, 1))
    stated = Placement(orientation="RPI")
    assert (read_image(path, stated).affine == AFFINE).all()
