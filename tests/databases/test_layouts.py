"""Finding the cases of each layout, and every fault of the files."""

import json

import nibabel as nib
import numpy as np
import pytest

from tfpartial.config.database import CaseOverride, Database
from tfpartial.databases import find_cases
from tfpartial.errors import InputError
from tfpartial.labels import Label, LabelSpace

SPACE = LabelSpace(
    (
        Label("liver"),
        Label("kidney_l", mirror="kidney_r"),
        Label("kidney_r", mirror="kidney_l"),
    )
)
LIVER_AND_KIDNEYS = {"liver": "liver", "kidneys": ["kidney_l", "kidney_r"]}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_filename(path)


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


def faults_of(database):
    with pytest.raises(InputError) as caught:
        find_cases(database, SPACE)
    return caught.value.faults


@pytest.fixture
def nnunet(tmp_path):
    for case in ("b", "a"):
        touch(tmp_path / "imagesTr" / f"{case}_0000.nii.gz")
        touch(tmp_path / "labelsTr" / f"{case}.nii.gz")
    write_json(
        tmp_path,
        channel_names={"0": "CT"},
        labels={"background": 0, "liver": 1, "kidneys": 2},
        numTraining=2,
        file_ending=".nii.gz",
    )
    return tmp_path


def write_json(folder, **contents):
    path = folder / "dataset.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **contents}))


@pytest.fixture
def msd(tmp_path):
    for case in ("b", "a"):
        touch(tmp_path / "imagesTr" / f"{case}.nii.gz")
        touch(tmp_path / "labelsTr" / f"{case}.nii.gz")
    write_json(
        tmp_path,
        modality={"0": "CT"},
        labels={"0": "background", "1": "liver", "2": "kidneys"},
        training=[pair("b"), pair("a")],
    )
    return tmp_path


def pair(case):
    return {
        "image": f"./imagesTr/{case}.nii.gz",
        "label": f"./labelsTr/{case}.nii.gz",
    }


@pytest.fixture
def masks(tmp_path):
    for case in ("b", "a"):
        touch(tmp_path / case / "ct.nii.gz")
        for structure in ("liver", "kidneys"):
            touch(tmp_path / case / "segmentations" / f"{structure}.nii.gz")
    return tmp_path


@pytest.fixture
def maps(tmp_path):
    for case in ("b", "a"):
        touch(tmp_path / case / "ct.nii.gz")
        touch(tmp_path / case / "labels.nii.gz")
    return tmp_path


# nnU-Net raw


def test_nnunet_raw(nnunet):
    touch(nnunet / "imagesTs" / "t_0000.nii.gz")
    (nnunet / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"")
    cases = find_cases(declare(nnunet, "nnunet_raw", LIVER_AND_KIDNEYS), SPACE)
    assert [case.case_id for case in cases] == ["a", "b"]
    first = cases[0]
    assert first.source.files == {
        "scan": [nnunet / "imagesTr" / "a_0000.nii.gz"],
        "label map": [nnunet / "labelsTr" / "a.nii.gz"],
    }
    assert (first.database, first.patient_id) == ("db", "a")
    assert first.annotated.tolist() == [True] * 4
    assert not first.prone_turn


def test_keys_may_be_integers_or_names(nnunet):
    values = {1: "liver", "kidneys": ["kidney_l", "kidney_r"]}
    assert len(find_cases(declare(nnunet, "nnunet_raw", values), SPACE)) == 2


@pytest.mark.parametrize("layout", ["nnunet_raw", "msd"])
def test_every_entry_of_dataset_json_is_declared(layout, request):
    folder = request.getfixturevalue(layout.removesuffix("_raw"))
    (fault,) = faults_of(declare(folder, layout, {"liver": "liver"}))
    assert str(folder / "dataset.json") in fault
    assert "'kidneys' (2)" in fault
    assert "others: ignore" in fault


def test_unknown_and_repeated_keys(nnunet):
    values = {**LIVER_AND_KIDNEYS, "livr": "liver", 1: "liver", 7: "liver"}
    faults = faults_of(declare(nnunet, "nnunet_raw", values))
    assert len(faults) == 3
    assert "values 'livr'" in faults[0]
    assert "It has: background (0), liver (1), kidneys (2)." in faults[0]
    assert "Did you mean 'liver'?" in faults[0]
    assert "'liver' and '1' are both the stored integer 1" in faults[1]
    assert "values '7'" in faults[2]


def test_faults_of_nnunet_files_come_together(nnunet):
    touch(nnunet / "imagesTr" / "a_0001.nii.gz")
    touch(nnunet / "imagesTr" / "odd.nii.gz")
    touch(nnunet / "imagesTr" / "c_0000.nii.gz")
    touch(nnunet / "labelsTr" / "d.nii.gz")
    text = "\n".join(
        faults_of(
            declare(nnunet, "nnunet_raw", LIVER_AND_KIDNEYS, exclude=["bb"])
        )
    )
    assert "a_0001.nii.gz: expected one channel (_0000), found chann" in text
    assert "odd.nii.gz: expected a name such as <case>_0000.nii.gz" in text
    assert "'numTraining': expected 2 cases, found 3" in text
    assert f"scan not found for 1 case(s): {nnunet}/imagesTr/d_0000" in text
    assert "label map not found for 1 case(s)" in text
    assert "'exclude' names case 'bb'" in text
    assert "Did you mean 'b'?" in text


def test_excluded_cases_need_no_files(nnunet):
    (nnunet / "labelsTr" / "b.nii.gz").unlink()
    touch(nnunet / "labelsTr" / "c.nii.gz")
    database = declare(
        nnunet, "nnunet_raw", LIVER_AND_KIDNEYS, exclude=["b", "c"]
    )
    assert [c.case_id for c in find_cases(database, SPACE)] == ["a"]


def test_more_channels_and_other_formats(nnunet):
    write_json(nnunet, channel_names={"0": "CT", "1": "PET"})
    database = declare(nnunet, "nnunet_raw", LIVER_AND_KIDNEYS)
    assert "expected one channel, found 2" in faults_of(database)[0]
    write_json(nnunet, channel_names={"0": "CT"}, file_ending=".nrrd")
    assert "'file_ending': expected one of .nii.gz" in faults_of(database)[0]


# dataset.json


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "0", "1": "1"}, "both readings fit"),
        ({"bg": "zero"}, "neither reading fits"),
        ({"0": "bg", "1": 1}, "neither reading fits"),
        ({"bg": 0, "liver": True}, "neither reading fits"),
        ({}, "expected 'labels' to map"),
        (None, "expected 'labels' to map"),
        ({"a": 1, "b": 1}, "the integer '1' more than once"),
        ({"1": "a", "2": "a"}, "the name 'a' more than once"),
    ],
)
def test_labels_that_cannot_be_read(nnunet, labels, message):
    write_json(nnunet, labels=labels)
    database = declare(nnunet, "nnunet_raw", {"a": "liver"})
    assert message in faults_of(database)[0]


def test_integers_of_regions_are_declared_as_integers(nnunet):
    write_json(nnunet, labels={"background": 0, "whole": [1, 2], "core": [2]})
    faults = faults_of(declare(nnunet, "nnunet_raw", {1: "liver"}))
    assert len(faults) == 1
    assert "'(integer 2 of a region)' (2)" in faults[0]
    values = {1: "liver", 2: "kidney_l"}
    assert find_cases(declare(nnunet, "nnunet_raw", values), SPACE)


def test_a_name_that_reads_as_another_integer(nnunet):
    write_json(nnunet, labels={"background": 0, "1": 2})
    (fault,) = faults_of(declare(nnunet, "nnunet_raw", {"1": "liver"}))[:1]
    assert "readings" not in fault
    assert "ambiguous" in fault


@pytest.mark.parametrize("layout", ["nnunet_raw", "msd"])
def test_dataset_json_must_be_there_and_be_json(tmp_path, layout):
    database = declare(tmp_path, layout, LIVER_AND_KIDNEYS)
    assert "expected the dataset.json of layout" in faults_of(database)[0]
    (tmp_path / "dataset.json").write_text("{")
    assert "not valid JSON" in faults_of(database)[0]
    (tmp_path / "dataset.json").write_text("[]")
    assert "expected a mapping, found list" in faults_of(database)[0]


# MSD


def test_msd(msd):
    cases = find_cases(declare(msd, "msd", LIVER_AND_KIDNEYS), SPACE)
    assert [case.case_id for case in cases] == ["a", "b"]
    assert cases[0].source.files == {
        "scan": [msd / "imagesTr" / "a.nii.gz"],
        "label map": [msd / "labelsTr" / "a.nii.gz"],
    }


def test_msd_reads_either_direction(msd):
    write_json(msd, labels={"background": 0, "liver": 1, "kidneys": 2})
    assert find_cases(declare(msd, "msd", LIVER_AND_KIDNEYS), SPACE)


def test_faults_of_msd_files_come_together(msd):
    write_json(
        msd,
        training=[
            pair("a"),
            pair("a"),
            pair("gone"),
            "c.nii.gz",
            {"image": "x.dcm", "label": "y.nii"},
        ],
    )
    faults = faults_of(declare(msd, "msd", LIVER_AND_KIDNEYS))
    text = "\n".join(faults)
    assert f"training[1]: {msd}/imagesTr/a.nii.gz is listed twice" in text
    assert 'training[3]: expected {"image"' in text
    assert "training[4]" in text
    assert "scan not found for 1 case(s)" in text
    assert "label map not found for 1 case(s)" in text
    assert len(faults) == 5


def test_msd_with_two_modalities_or_without_training(msd):
    database = declare(msd, "msd", LIVER_AND_KIDNEYS)
    write_json(msd, modality={"0": "T2", "1": "ADC"})
    assert "expected one channel, found 2" in faults_of(database)[0]
    write_json(msd, modality={"0": "CT"}, training=3)
    assert "'training' to be a list" in faults_of(database)[0]


# Folders


def test_label_map_folder(maps):
    (maps / "readme.txt").write_text("a file is no case")
    (maps / ".hidden").mkdir()
    database = declare(maps, "label_map_folder", {10: "liver"})
    cases = find_cases(database, SPACE)
    assert [case.case_id for case in cases] == ["a", "b"]
    assert cases[1].source.files == {
        "scan": [maps / "b" / "ct.nii.gz"],
        "label map": [maps / "b" / "labels.nii.gz"],
    }
    assert cases[1].annotated.tolist() == [True, True, False, False]


def test_label_map_keys_are_integers(maps):
    database = declare(maps, "label_map_folder", {"liver": "liver"})
    assert "expected a stored integer" in faults_of(database)[0]


def test_folders_without_files(maps):
    (maps / "c").mkdir()
    (maps / "a" / "labels.nii.gz").unlink()
    faults = faults_of(declare(maps, "label_map_folder", {1: "liver"}))
    assert len(faults) == 2
    text = "\n".join(faults)
    assert f"scan not found for 1 case(s): {maps / 'c' / 'ct.nii.gz'}" in text
    assert "label map not found for 2 case(s)" in text


def test_no_folder_and_no_cases(tmp_path):
    database = declare(tmp_path / "no", "label_map_folder", {1: "liver"})
    assert "expected a folder at 'path'" in faults_of(database)[0]
    database = declare(tmp_path, "label_map_folder", {1: "liver"})
    assert (
        "expected cases of layout 'label_map_folder', found that"
        in (faults_of(database)[0])
    )


def test_the_same_scan_twice(maps):
    scan = maps / "b" / "ct.nii.gz"
    scan.unlink()
    scan.symlink_to(maps / "a" / "ct.nii.gz")
    (fault,) = faults_of(declare(maps, "label_map_folder", {1: "liver"}))
    assert "cases 'a' and 'b' are the same scan" in fault


def test_mask_folder(masks):
    cases = find_cases(declare(masks, "mask_folder", LIVER_AND_KIDNEYS), SPACE)
    folder = masks / "a" / "segmentations"
    assert cases[0].source.files == {
        "scan": [masks / "a" / "ct.nii.gz"],
        "mask of 'liver'": [folder / "liver.nii.gz"],
        "mask of 'kidneys'": [folder / "kidneys.nii.gz"],
    }


def test_masks_beside_the_scan(tmp_path):
    for name in ("ct", "fov", "liver"):
        touch(tmp_path / "a" / f"{name}.nii.gz")
    database = declare(
        tmp_path,
        "mask_folder",
        {"liver": "liver"},
        mask="{structure}.nii.gz",
        field_of_view="fov.nii.gz",
    )
    (case,) = find_cases(database, SPACE)
    assert case.source.files == {
        "scan": [tmp_path / "a" / "ct.nii.gz"],
        "mask of 'liver'": [tmp_path / "a" / "liver.nii.gz"],
        "field of view": [tmp_path / "a" / "fov.nii.gz"],
    }
    (tmp_path / "a" / "fov.nii.gz").unlink()
    assert "field of view not found for 1 case(s)" in faults_of(database)[0]


def test_undeclared_masks(masks):
    touch(masks / "a" / "segmentations" / "spleen.nii.gz")
    database = declare(masks, "mask_folder", LIVER_AND_KIDNEYS)
    (fault,) = faults_of(database)
    assert "1 structure(s) that are not: spleen" in fault
    assert "segmentations/spleen.nii.gz" in fault
    values = {**LIVER_AND_KIDNEYS, "spleen": "background"}
    assert find_cases(declare(masks, "mask_folder", values), SPACE)


def test_absent_mask_error(masks):
    for case in "ab":
        (masks / case / "segmentations" / "kidneys.nii.gz").unlink()
    (fault,) = faults_of(declare(masks, "mask_folder", LIVER_AND_KIDNEYS))
    assert "expected a mask of 'kidneys' (segmentations/kidneys)" in fault
    assert "found none in 2 of 2: a, b." in fault
    assert "'absent_mask: not_annotated'" in fault


def test_absent_mask_not_annotated_is_per_case(masks):
    (masks / "a" / "segmentations" / "kidneys.nii.gz").unlink()
    a, b = find_cases(
        declare(
            masks,
            "mask_folder",
            LIVER_AND_KIDNEYS,
            absent_mask="not_annotated",
        ),
        SPACE,
    )
    assert a.annotated.tolist() == [True, True, False, False]
    assert b.annotated.tolist() == [True, True, True, True]


def test_absent_mask_empty_keeps_the_labels(masks):
    (masks / "a" / "segmentations" / "kidneys.nii.gz").unlink()
    database = declare(
        masks, "mask_folder", LIVER_AND_KIDNEYS, absent_mask="empty"
    )
    assert find_cases(database, SPACE)[0].annotated.all()


def test_an_override_explains_an_absent_mask(masks):
    (masks / "a" / "segmentations" / "kidneys.nii.gz").unlink()
    database = declare(
        masks,
        "mask_folder",
        LIVER_AND_KIDNEYS,
        cases={"a": CaseOverride(annotated=["liver"])},
    )
    a, b = find_cases(database, SPACE)
    assert a.annotated.tolist() == [True, True, False, False]
    assert b.annotated.all()


def test_an_override_may_contradict_an_absent_mask(masks):
    (masks / "a" / "segmentations" / "liver.nii.gz").unlink()
    database = declare(
        masks,
        "mask_folder",
        LIVER_AND_KIDNEYS,
        absent_mask="not_annotated",
        cases={"a": CaseOverride(annotated=["liver"])},
    )
    (fault,) = faults_of(database)
    assert "'cases.a' declares labels of 'liver' as annotated" in fault


# Declarations


def test_overrides_of_unknown_cases(maps):
    database = declare(
        maps,
        "label_map_folder",
        {1: "liver"},
        cases={"c": CaseOverride(patient_position="prone")},
    )
    (fault,) = faults_of(database)
    assert "'cases' names case 'c', which" in fault


def test_prone_turns_only_in_the_scanner_frame(maps):
    turned = {}
    for frame in ("patient", "scanner"):
        database = declare(
            maps,
            "label_map_folder",
            {1: "liver"},
            affine_frame=frame,
            cases={"a": CaseOverride(patient_position="prone")},
        )
        cases = find_cases(database, SPACE)
        turned[frame] = [case.prone_turn for case in cases]
    assert turned == {"patient": [False, False], "scanner": [True, False]}


def test_a_supine_case_of_a_prone_database(maps):
    database = declare(
        maps,
        "label_map_folder",
        {1: "liver"},
        patient_position="prone",
        affine_frame="scanner",
        cases={"a": CaseOverride(patient_position="supine")},
    )
    cases = find_cases(database, SPACE)
    assert [case.prone_turn for case in cases] == [False, True]


def test_fields_without_effect(nnunet):
    faults = faults_of(
        declare(
            nnunet,
            "nnunet_raw",
            LIVER_AND_KIDNEYS,
            field_of_view="fov.nii.gz",
            priority=["livr"],
        )
    )
    text = "\n".join(faults)
    assert "'field_of_view' has no effect in layout 'nnunet_raw'" in text
    assert "'priority' has no effect" in text
    assert "'priority' names 'livr', which 'values' does not declare. Did" in (
        text
    )


def test_faults_of_config_and_files_come_together(nnunet):
    write_json(nnunet, numTraining=9)
    values = {**LIVER_AND_KIDNEYS, "liver": "livr"}
    faults = faults_of(declare(nnunet, "nnunet_raw", values))
    assert len(faults) == 2
    assert "label 'livr' is not in the label space" in faults[0]
    assert "'numTraining'" in faults[1]


def test_patients_by_pattern(maps):
    (maps / "a").rename(maps / "anna_1")
    (maps / "b").rename(maps / "anna_2")
    database = declare(maps, "label_map_folder", {1: "liver"})
    cases = find_cases(database, SPACE, patient_pattern="^([a-z]+)_")
    assert [case.patient_id for case in cases] == ["anna", "anna"]
    with pytest.raises(InputError, match="does not fit case id 'anna_1'"):
        find_cases(database, SPACE, patient_pattern="(x)")


# others


def test_many_undeclared_masks_are_one_message(masks):
    for number in range(40):
        touch(masks / "a" / "segmentations" / f"organ_{number:02d}.nii.gz")
    database = declare(masks, "mask_folder", LIVER_AND_KIDNEYS)
    (fault,) = faults_of(database)
    assert "40 structure(s)" in fault
    assert "organ_00, organ_01" in fault
    assert "and 35 more" in fault
    assert "others: ignore" in fault
    for others in ("background", "ignore", "not_annotated"):
        assert find_cases(database.model_copy(update={"others": others}), SPACE)


@pytest.mark.parametrize("layout", ["nnunet_raw", "msd"])
def test_others_declares_entries_of_dataset_json(layout, request):
    folder = request.getfixturevalue(layout.removesuffix("_raw"))
    database = declare(folder, layout, {"liver": "liver"}, others="ignore")
    assert len(find_cases(database, SPACE)) == 2


def test_masks_that_mean_background_are_not_read_and_others_are(masks):
    touch(masks / "a" / "segmentations" / "spleen.nii.gz")
    for others, is_read in (
        ("background", False),
        ("ignore", True),
        ("not_annotated", True),
    ):
        case, _ = find_cases(
            declare(masks, "mask_folder", LIVER_AND_KIDNEYS, others=others),
            SPACE,
        )
        assert ("mask of 'spleen'" in case.source.files) is is_read


# Links that lead nowhere, folders where files belong


def to_nowhere(path):
    path.unlink()
    path.symlink_to("/nowhere/key")


def test_a_link_that_leads_nowhere_is_named(masks):
    to_nowhere(masks / "a" / "segmentations" / "liver.nii.gz")
    (fault,) = faults_of(
        declare(masks, "mask_folder", LIVER_AND_KIDNEYS, absent_mask="empty")
    )
    assert "a/segmentations/liver.nii.gz" in fault
    assert "lead nowhere" in fault


@pytest.mark.parametrize("layout", ["nnunet_raw", "msd"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_no_case_vanishes(layout, as_folder, request):
    folder = request.getfixturevalue(layout.removesuffix("_raw"))
    if layout == "nnunet_raw":
        write_json(folder, numTraining=None)
    for sub, end in (("imagesTr", "_0000"), ("labelsTr", "")):
        end = end if layout == "nnunet_raw" else ""
        path = folder / sub / f"a{end}.nii.gz"
        to_nowhere(path)
        if as_folder:
            path.unlink()
            path.mkdir()
    faults = faults_of(declare(folder, layout, LIVER_AND_KIDNEYS))
    assert len(faults) == 2
    what = "folders" if as_folder else "lead nowhere"
    assert all(what in fault for fault in faults)


def test_a_folder_of_a_case_that_leads_nowhere(maps):
    (maps / "c").symlink_to("/nowhere/c")
    faults = faults_of(declare(maps, "label_map_folder", {1: "liver"}))
    assert f"scan not found for 1 case(s): {maps / 'c'}" in faults[0]


def test_a_scan_of_a_format_that_is_not_read_is_said(maps):
    (maps / "a" / "ct.nii.gz").rename(maps / "a" / "ct.mgz")
    (fault,) = faults_of(declare(maps, "label_map_folder", {1: "liver"}))
    assert "ct.mgz" in fault
    assert "NIfTI" in fault


# Other endings, other folders


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ"])
@pytest.mark.parametrize("declared", ["", ".nii.gz"])
def test_a_mask_with_another_ending_is_found(masks, ending, declared):
    home = masks / "a" / "segmentations"
    touch(home / "liver.nii")
    (home / "liver.nii.gz").unlink()
    (home / "liver.nii").rename(home / f"liver{ending}")
    database = declare(
        masks,
        "mask_folder",
        LIVER_AND_KIDNEYS,
        absent_mask="empty",
        mask="segmentations/{structure}" + declared,
    )
    case, _ = find_cases(database, SPACE)
    assert case.source.files["mask of 'liver'"] == [home / f"liver{ending}"]
    assert not case.source.absent


@pytest.mark.parametrize(
    "place",
    [
        "segmentations/liver.mgz",
        "x/liver.nii.gz",
        "segmentations/LIVER.nii",
    ],
)
@pytest.mark.parametrize("others", [None, "ignore"])
def test_a_misplaced_mask_is_not_taken_for_absent(masks, place, others):
    old = masks / "a" / "segmentations" / "liver.nii.gz"
    new = masks / "a" / place
    new.parent.mkdir(exist_ok=True)
    old.rename(new)
    for absent in ("empty", "not_annotated", "error"):
        faults = faults_of(
            declare(
                masks,
                "mask_folder",
                LIVER_AND_KIDNEYS,
                absent_mask=absent,
                others=others,
            )
        )
        assert any(str(new) in fault and "'liver'" in fault for fault in faults)


def test_two_files_that_differ_in_their_endings(maps):
    touch(maps / "a" / "labels.nii")
    database = declare(maps, "label_map_folder", {1: "liver"})
    (fault,) = faults_of(database)
    assert "labels.nii.gz" in fault
    assert "labels.nii," in fault
    chosen = database.model_copy(update={"label_map": "labels.nii.gz"})
    case, _ = find_cases(chosen, SPACE)
    assert case.source.files["label map"] == [maps / "a" / "labels.nii.gz"]
    excluded = database.model_copy(update={"exclude": ["a"]})
    assert len(find_cases(excluded, SPACE)) == 1


def test_scans_and_label_maps_of_other_endings_are_found(maps):
    for name in ("ct", "labels"):
        (maps / "a" / f"{name}.nii.gz").unlink()
        touch(maps / "a" / f"{name}.nii")
    case, _ = find_cases(declare(maps, "label_map_folder", {1: "liver"}), SPACE)
    assert [p.name for ps in case.source.files.values() for p in ps] == [
        "ct.nii",
        "labels.nii",
    ]


# Lists and counts of real life


def test_num_training_and_excluded_cases(nnunet):
    """Neither a text, nor an excluded case that is gone, is a wrong number."""
    (nnunet / "imagesTr" / "b_0000.nii.gz").unlink()
    database = declare(nnunet, "nnunet_raw", LIVER_AND_KIDNEYS, exclude=["b"])
    for stated in (1, 2, "1", "2"):
        write_json(nnunet, numTraining=stated)
        (case,) = find_cases(database, SPACE)
        assert case.case_id == "a"
    for stated in (0, 3, "three"):
        write_json(nnunet, numTraining=stated)
        assert "'numTraining'" in faults_of(database)[0]


def test_scans_of_an_msd_list_may_differ_by_folder(msd):
    pairs = []
    for case in ("c0", "c1"):
        touch(msd / case / "ct.nii.gz")
        touch(msd / case / "labels.nii.gz")
        names = f"{case}/ct.nii.gz", f"{case}/labels.nii.gz"
        pairs.append(dict(zip(("image", "label"), names, strict=True)))
    write_json(msd, training=pairs)
    cases = find_cases(declare(msd, "msd", LIVER_AND_KIDNEYS), SPACE)
    assert [case.case_id for case in cases] == ["c0_ct", "c1_ct"]
    assert cases[1].source.files["label map"] == [msd / "c1" / "labels.nii.gz"]


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("*", "background"),
        ("*", "ignore"),
        ("livr", "background"),
        ("livr", "ignore"),
        ("livr", "liver"),
    ],
)
def test_a_key_that_matches_no_mask(masks, key, meaning):
    values = {"kidneys": ["kidney_l", "kidney_r"], key: meaning}
    faults = faults_of(
        declare(
            masks,
            "mask_folder",
            values,
            absent_mask="empty",
            others="background",
        )
    )
    (fault,) = faults
    assert f"values '{key}'" in fault
    assert ("mean 'liver'" in fault) is (key == "livr")


def test_decomposed_file_names_are_those_of_the_declaration(masks):
    """macOS writes the letter and its dots as two characters."""
    decomposed, composed = "Mu\u0308ller", "M\u00fcller"
    (masks / "a").rename(masks / decomposed)
    (masks / "b").rename(masks / "Zoe\u0308")
    for home in masks.iterdir():
        liver = home / "segmentations" / "liver.nii.gz"
        liver.rename(liver.with_name(f"{decomposed}.nii.gz"))
    values = {composed: "liver", "kidneys": ["kidney_l", "kidney_r"]}
    (case,) = find_cases(
        declare(
            masks,
            "mask_folder",
            values,
            exclude=["Zo\u00eb"],
            cases={composed: CaseOverride(patient_position="prone")},
        ),
        SPACE,
    )
    assert case.case_id == composed
    assert not case.source.absent
