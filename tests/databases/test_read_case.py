"""Stored codes of a case, voxel by voxel, and every fault of its voxels."""

import gzip
import pickle

import nibabel as nib
import numpy as np
import pytest

from tfpartial.config.database import CaseOverride, Database
from tfpartial.databases import find_cases, read_case, stored_values
from tfpartial.errors import InputError
from tfpartial.labels import Label, LabelSpace, candidate_table

SPACE = LabelSpace((Label("liver"), Label("tumour"), Label("spleen")))
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.asarray(array), affine).to_filename(path)


def row(*values, dtype=np.uint8):
    """Voxels along the first axis of a (I, 1, 1) volume."""
    return np.array(values, dtype).reshape(-1, 1, 1)


def declare(path, layout, values, **fields):
    return Database(
        name="db",
        path=str(path),
        layout=layout,
        values=values,
        licence="none",
        citation="none",
        **fields,
    )


def read_first(database):
    case = find_cases(database, SPACE)[0]
    return read_case(case, database, SPACE)


def codes_of(database):
    return read_first(database)[1].array.reshape(-1).tolist()


def faults_of(database):
    with pytest.raises(InputError) as caught:
        read_first(database)
    return caught.value.faults


@pytest.fixture
def scan(tmp_path):
    save(tmp_path / "a" / "ct.nii.gz", row(0, 10, 20, 30, 40, dtype=np.int16))
    return tmp_path


def save_map(folder, *values, dtype=np.uint8, affine=AFFINE):
    save(folder / "a" / "labels.nii.gz", row(*values, dtype=dtype), affine)


def save_mask(folder, structure, *values, dtype=np.uint8):
    path = folder / "a" / "segmentations" / f"{structure}.nii.gz"
    save(path, row(*values, dtype=dtype))


def test_a_label_map_becomes_codes(scan):
    save_map(scan, 0, 32, 7, 9, 8)
    values = {7: ["liver", "tumour"], 8: "background", 32: "spleen"}
    values[9] = "ignore"
    database = declare(scan, "label_map_folder", values)
    assert codes_of(database) == [0, 2, 1, 3, 0]
    image, stored = read_first(database)
    assert image.array.reshape(-1).tolist() == [0, 10, 20, 30, 40]
    assert stored.array.dtype == np.uint8
    np.testing.assert_array_equal(stored.affine, AFFINE)


@pytest.mark.parametrize("large", [255, 256, 70000])
def test_stored_integers_of_any_size(scan, large):
    save_map(scan, 0, large, 3, large, 3, dtype=np.int32)
    database = declare(scan, "label_map_folder", {large: "spleen", 3: "liver"})
    assert codes_of(database) == [0, 1, 2, 1, 2]


def test_stored_zero_may_be_declared(scan):
    save_map(scan, 0, 1, 1, 0, 0)
    database = declare(scan, "label_map_folder", {0: "ignore", 1: "liver"})
    assert codes_of(database) == [1, 2, 2, 1, 1]


def test_random_maps_against_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    values = {5: "liver", 200: "tumour", 17: "ignore"}
    array = rng.choice([0, 5, 17, 200], (4, 5, 6)).astype(np.uint8)
    save(tmp_path / "a" / "ct.nii.gz", np.zeros((4, 5, 6), np.int16))
    save(tmp_path / "a" / "labels.nii.gz", array)
    database = declare(tmp_path, "label_map_folder", values)
    code_of = stored_values(database, SPACE).code_of
    stored = read_first(database)[1].array
    for voxel, value in np.ndenumerate(array):
        assert stored[voxel] == (code_of[str(value)] if value else 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_undeclared_stored_values(scan, dtype):
    save_map(scan, 0, 1, 7, 7, 9, dtype=dtype)
    (fault,) = faults_of(declare(scan, "label_map_folder", {1: "liver"}))
    assert "/a/labels.nii.gz" in fault
    assert "7 (2 voxels), 9 (1 voxels)" in fault
    assert "declares, 0, 1, found 7 (2 voxels)" in fault


def test_grids_that_disagree(scan):
    moved = AFFINE.copy()
    moved[0, 3] = 1.0
    save_map(scan, 0, 1, 0, 0, 0, affine=moved)
    (fault,) = faults_of(declare(scan, "label_map_folder", {1: "liver"}))
    assert "labels.nii.gz" in fault
    assert "affine" in fault
    save_map(scan, 0, 1, 0)
    (fault,) = faults_of(declare(scan, "label_map_folder", {1: "liver"}))
    assert "shape" in fault


def test_labels_of_a_case_that_does_not_annotate_them(scan):
    save_map(scan, 0, 1, 2, 2, 0)
    database = declare(
        scan,
        "label_map_folder",
        {1: "liver", 2: ["tumour", "spleen"]},
        cases={"a": CaseOverride(annotated=["liver", "tumour"])},
    )
    (fault,) = faults_of(database)
    assert "2 voxel(s) of values '2', but its label(s) spleen are" in fault
    assert "'cases.a.annotated'" in fault


def test_masks_become_codes(scan):
    save_mask(scan, "liver", 1, 1, 0, 0, 0)
    save_mask(scan, "spleen", 0, 0, 0, 255, 0)
    database = declare(
        scan, "mask_folder", {"liver": "liver", "spleen": "spleen"}
    )
    assert codes_of(database) == [1, 1, 0, 2, 0]


def test_overlaps_follow_the_order_of_values_then_priority(scan):
    save_mask(scan, "liver", 1, 1, 1, 0, 0)
    save_mask(scan, "tumour", 0, 1, 1, 1, 0)
    save_mask(scan, "spleen", 0, 0, 1, 1, 1)
    values = {"liver": "liver", "tumour": "tumour", "spleen": "spleen"}
    assert codes_of(declare(scan, "mask_folder", values)) == [1, 1, 1, 2, 3]
    first = declare(scan, "mask_folder", values, priority=["spleen"])
    assert codes_of(first) == [1, 1, 3, 3, 3]
    order = declare(scan, "mask_folder", values, priority=["tumour", "spleen"])
    assert codes_of(order) == [1, 2, 2, 2, 3]


def test_background_masks_erase_only_by_priority(scan):
    save_mask(scan, "hole", 1, 1, 0, 0, 0)
    save_mask(scan, "liver", 0, 1, 1, 0, 0)
    values = {"hole": "background", "liver": "liver"}
    assert codes_of(declare(scan, "mask_folder", values)) == [0, 1, 1, 0, 0]
    first = declare(scan, "mask_folder", values, priority=["hole"])
    assert codes_of(first) == [0, 0, 1, 0, 0]


def test_masks_that_are_not_binary_come_together(scan):
    save_mask(scan, "liver", 0, 1, 2, 0, 0)
    save_mask(scan, "spleen", 1, 1, 1, 1, 3)
    faults = faults_of(
        declare(scan, "mask_folder", {"liver": "liver", "spleen": "spleen"})
    )
    assert len(faults) == 2
    text = "\n".join(faults)
    assert "liver.nii.gz: expected a binary mask" in text
    assert "found the values 0, 1, 2" in text
    assert "found the values 1, 3" in text


def test_absent_masks_are_empty(scan):
    save_mask(scan, "liver", 0, 1, 0, 0, 0)
    database = declare(
        scan,
        "mask_folder",
        {"liver": "liver", "spleen": "spleen"},
        absent_mask="empty",
    )
    assert codes_of(database) == [0, 1, 0, 0, 0]


def test_a_label_with_one_of_two_masks_is_open_but_keeps_its_voxels(scan):
    # Liver = healthy part + tumour; without the tumour's mask the liver is
    # not annotated completely, but what is drawn is liver.
    save_mask(scan, "healthy", 0, 1, 1, 0, 0)
    database = declare(
        scan,
        "mask_folder",
        {"healthy": "liver", "lesion": "liver"},
        absent_mask="not_annotated",
    )
    (case,) = find_cases(database, SPACE)
    assert not case.annotated[1]
    assert codes_of(database) == [0, 1, 1, 0, 0]


def test_outside_the_field_of_view_is_ignored(scan):
    save_map(scan, 0, 1, 1, 0, 0)
    save(scan / "a" / "fov.nii.gz", row(1, 1, 0, 0, 1))
    database = declare(
        scan, "label_map_folder", {1: "liver"}, field_of_view="fov.nii.gz"
    )
    ignore = stored_values(database, SPACE).ignore_code
    assert codes_of(database) == [0, 1, ignore, ignore, 0]
    assert stored_values(database, SPACE).sets[ignore].all()


def test_a_field_of_view_on_another_grid(scan):
    save_map(scan, 0, 1, 1, 0, 0)
    save(scan / "a" / "fov.nii.gz", row(1, 1))
    (fault,) = faults_of(
        declare(
            scan, "label_map_folder", {1: "liver"}, field_of_view="fov.nii.gz"
        )
    )
    assert "fov.nii.gz" in fault


def test_cases_travel_to_other_processes(scan):
    save_map(scan, 0, 1, 0, 0, 0)
    database = declare(scan, "label_map_folder", {1: "liver"})
    (case,) = pickle.loads(pickle.dumps(find_cases(database, SPACE)))
    assert read_case(case, database, SPACE)[1].array.sum() == 1


OTHER_CANDIDATES = {
    # Stored 0 of this database, which names liver alone.
    "background": [True, False, True, True],
    "ignore": [True, True, True, True],
    "not_annotated": [True, False, True, True],
}


@pytest.mark.parametrize("layout", ["label_map_folder", "mask_folder"])
@pytest.mark.parametrize("others", OTHER_CANDIDATES)
def test_what_others_may_be(scan, layout, others):
    save_map(scan, 0, 1, 7, 1, 0)
    save_mask(scan, "liver", 0, 1, 0, 1, 0)
    # Where masks overlap, what is declared wins.
    save_mask(scan, "vessel", 0, 0, 1, 1, 0)
    key = 1 if layout == "label_map_folder" else "liver"
    database = declare(scan, layout, {key: "liver"}, others=others)
    (case,) = find_cases(database, SPACE)
    codes = codes_of(database)
    assert codes[:2] + codes[3:] == [0, 1, 1, 0]
    sets = stored_values(database, SPACE).sets
    partial = candidate_table(sets, case.annotated)[codes[2]]
    assert partial.tolist() == OTHER_CANDIDATES[others]
    # Naive training closes stored background, nothing else.
    naive = candidate_table(sets, case.annotated, "naive")[codes[2]]
    closed = others == "background"
    assert naive.tolist() == (
        [True, False, False, False] if closed else OTHER_CANDIDATES[others]
    )
    assert case.annotated.tolist() == [True, True, False, False]


def test_undeclared_values_name_the_remedy(scan):
    save_map(scan, 0, 1, 7, 7, 9)
    (fault,) = faults_of(declare(scan, "label_map_folder", {1: "liver"}))
    assert "others: ignore" in fault


def test_the_declared_form_of_a_header_is_read(scan):
    """Sform and qform disagree: scan and label map follow one of them."""
    mirrored = np.diag([-1.0, 1, 1, 1]) @ AFFINE
    values = row(0, 7, 0, 0, 0)
    for name, array in (("ct", values), ("labels", values)):
        image = nib.Nifti1Image(array, AFFINE)
        image.set_sform(AFFINE, 2)
        image.set_qform(mirrored, 1)
        image.to_filename(scan / "a" / f"{name}.nii.gz")
    fields = {"layout": "label_map_folder", "values": {7: "liver"}}
    assert "sform" in faults_of(declare(scan, **fields))[0]
    for form, affine in (("sform", AFFINE), ("qform", mirrored)):
        image, stored = read_first(declare(scan, affine=form, **fields))
        np.testing.assert_allclose(image.affine, affine)
        np.testing.assert_allclose(stored.affine, affine)


def test_files_without_a_form_need_a_stated_orientation(scan):
    save_map(scan, 0, 1, 0, 0, 0)
    for name in ("ct", "labels"):
        path = scan / "a" / f"{name}.nii.gz"
        raw = bytearray(gzip.decompress(path.read_bytes()))
        raw[252:256] = bytes(4)
        path.write_bytes(gzip.compress(bytes(raw)))
    fields = {"layout": "label_map_folder", "values": {1: "liver"}}
    assert "orientation" in faults_of(declare(scan, **fields))[0]
    image, stored = read_first(declare(scan, orientation="LPI", **fields))
    assert image.affine.diagonal().tolist() == [-2, -2, -3, 1]
    assert stored.array.sum() == 1
    for letters in ("LAX", "LRS", "LA", "las"):
        with pytest.raises(ValueError, match=f"such as 'LAS'.*{letters}"):
            declare(scan, orientation=letters, **fields)
