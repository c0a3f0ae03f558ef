"""The OpenKBP importer: geometry, overlap rule, faults, and a real case."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from tfpartial.config import Database
from tfpartial.errors import InputError
from tfpartial.importers import import_openkbp
from tfpartial.importers.openkbp import GRID, ORGANS, read_case

SPACING = (4.0, 2.0, 3.0)


def flat(i, j, k):
    return (i * 128 + j) * 128 + k


def write_patient(folder, ct=None, spacing=SPACING, **organs):
    folder.mkdir(parents=True)
    ct = {flat(64, 64, 64): 1040.0} if ct is None else ct
    lines = [f"{index},{value}" for index, value in ct.items()]
    (folder / "ct.csv").write_text("\n".join([",data", *lines]) + "\n")
    (folder / "voxel_dimensions.csv").write_text(
        "".join(f"{length}\n" for length in spacing)
    )
    for organ, indices in organs.items():
        lines = [f"{index}," for index in indices]
        (folder / f"{organ}.csv").write_text("\n".join([",data", *lines, ""]))
    return folder


def test_hu_is_value_minus_1000_and_air_elsewhere(tmp_path):
    place = (10, 20, 30)
    folder = write_patient(
        tmp_path / "pt_1", {flat(*place): 1040.0}, Larynx=[flat(*place)]
    )
    scan, labels, contoured = read_case(folder)
    assert scan.array[place] == 1040 - 1000
    assert labels.array[place] == ORGANS.index("Larynx") + 1
    assert (scan.array == -1000).sum() == 128**3 - 1
    assert contoured == ["Larynx"]


def test_axes_run_to_posterior_left_and_feet(tmp_path):
    folder = write_patient(tmp_path / "pt_1", Larynx=[5])
    affine = read_case(folder)[0].affine
    assert nibabel.aff2axcodes(affine) == ("P", "L", "I")
    middle = (np.array(GRID) - 1) / 2
    np.testing.assert_allclose(affine @ [*middle, 1], [0, 0, 0, 1])
    # One voxel along axis 0 is 4 mm to posterior, -y in RAS.
    np.testing.assert_allclose(affine[:3, 0], [0, -4, 0])
    np.testing.assert_allclose(affine[:3, 1], [-2, 0, 0])
    np.testing.assert_allclose(affine[:3, 2], [0, 0, -3])


def test_where_organs_overlap_the_later_one_is_kept(tmp_path):
    folder = write_patient(tmp_path / "pt_1", Mandible=[7, 8], Brainstem=[8, 9])
    labels = read_case(folder)[1].array.ravel()
    assert labels[7:10].tolist() == [7, 7, 1]


def test_every_fault_of_every_patient_is_named(tmp_path):
    source = tmp_path / "raw"
    write_patient(source / "pt_1", Larynx=[128**3])
    write_patient(source / "pt_2", spacing=(1.0, -1.0, 1.0), Mandibel=[3])
    write_patient(source / "pt_3", Mandible=[3])
    with pytest.raises(InputError) as caught:
        import_openkbp(source, tmp_path / "out")
    message = str(caught.value)
    assert "whole indices from 0 to 2097151" in message
    assert "three lengths in mm" in message
    assert "Did you mean 'Mandible'?" in message
    assert "at least one of Brainstem" in message
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"pt_3", "database.yaml"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("index,data\n1,2\n", "header ',data'"),
        (",data\n1,x\n", "not a finite number"),
        (",data\n1,\n", "not a finite number"),
        (",data\n", "found none"),
        (",data\n1,5\n1,6\n", "repeated"),
        (",data\n1.5,5\n", "whole indices"),
        (",data\nx,5\n", "whole indices"),
    ],
)
def test_a_broken_ct_is_named(tmp_path, text, words):
    folder = write_patient(tmp_path / "pt_1", Larynx=[1])
    (folder / "ct.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_case(folder)
    assert words in str(caught.value)
    assert str(folder / "ct.csv") in str(caught.value)


def test_a_source_without_patients_is_named(tmp_path):
    with pytest.raises(InputError, match=r"expected folders with a ct\.csv"):
        import_openkbp(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="expected a folder, found none"):
        import_openkbp(tmp_path / "absent", tmp_path / "out")


def test_the_same_patient_name_twice_is_an_error(tmp_path):
    write_patient(tmp_path / "raw" / "a" / "pt_1", Larynx=[1])
    write_patient(tmp_path / "raw" / "b" / "pt_1", Larynx=[1])
    with pytest.raises(InputError, match="'pt_1' occurs 2 times"):
        import_openkbp(tmp_path / "raw", tmp_path / "out")


def test_a_finished_case_is_not_converted_again(tmp_path):
    source, target = tmp_path / "raw", tmp_path / "out"
    write_patient(source / "pt_1", Larynx=[1])
    import_openkbp(source, target)
    before = (target / "pt_1" / "ct.nii.gz").stat().st_mtime_ns
    # What a killed run leaves behind is replaced, not taken for a case.
    (target / ".pt_2.partial").mkdir()
    write_patient(source / "pt_2", Mandible=[1])
    import_openkbp(source, target)
    assert (target / "pt_1" / "ct.nii.gz").stat().st_mtime_ns == before
    assert {path.name for path in target.iterdir()} == {
        "pt_1",
        "pt_2",
        "database.yaml",
    }


def test_a_full_disk_leaves_no_half_case(tmp_path, monkeypatch):
    write_patient(tmp_path / "raw" / "pt_1", Mandible=[3])
    target = tmp_path / "out"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tfpartial.importers.openkbp.write_volume", full)
        with pytest.raises(OSError, match="No space"):
            import_openkbp(tmp_path / "raw", target)
    assert list(target.iterdir()) == []
    import_openkbp(tmp_path / "raw", target)
    assert (target / "pt_1" / "ct.nii.gz").is_file()


def test_the_written_database_says_what_each_case_annotates(tmp_path):
    source, target = tmp_path / "raw", tmp_path / "out"
    write_patient(source / "pt_1", **{organ: [1] for organ in ORGANS})
    write_patient(source / "pt_2", Mandible=[1], Larynx=[])
    import_openkbp(source, target)
    declared = yaml.safe_load((target / "database.yaml").read_text())
    database = Database.model_validate(declared)
    assert list(database.values.values()) == list(ORGANS)
    assert set(database.cases) == {"pt_2"}
    assert database.cases["pt_2"].annotated == ["Mandible"]


def test_a_foreign_folder_is_not_overwritten(tmp_path):
    write_patient(tmp_path / "raw" / "pt_1", Larynx=[1])
    (tmp_path / "out" / "pt_1").mkdir(parents=True)
    with pytest.raises(InputError, match="found something else"):
        import_openkbp(tmp_path / "raw", tmp_path / "out")


def read_canonical(path):
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj), image.affine


def body_box(hu):
    inside = np.argwhere(hu > -1000)
    low, high = inside.min(0), inside.max(0) + 1
    return tuple(map(slice, low, high))


def test_pt_13_reproduces_the_converted_case_up_to_its_crop(tmp_path):
    root = os.environ.get("TFPARTIAL_OPENKBP")
    if not root or not (Path(root) / "openkbp_raw").is_dir():
        pytest.skip(
            "needs real data: set TFPARTIAL_OPENKBP to the folder that holds "
            "openkbp/ and openkbp_raw/"
        )
    import_openkbp(Path(root) / "openkbp_raw/train-pats/pt_13", tmp_path)
    db1 = Path(root) / "openkbp/db1"
    scan, affine = read_canonical(tmp_path / "pt_13/ct.nii.gz")
    labels, _ = read_canonical(tmp_path / "pt_13/labels.nii.gz")
    other_scan, other_affine = read_canonical(
        db1 / "imagesTr/KBP_013_0000.nii.gz"
    )
    other_labels, _ = read_canonical(db1 / "labelsTr/KBP_013.nii.gz")
    # Each grid is centred on the origin, so a crop moves the origin: what
    # must agree is the direction and length of every axis.
    np.testing.assert_allclose(affine[:3, :3], other_affine[:3, :3], atol=1e-6)
    box, other_box = body_box(scan), body_box(other_scan)
    np.testing.assert_array_equal(scan[box], other_scan[other_box])
    np.testing.assert_array_equal(labels[box], other_labels[other_box])
    assert np.unique(labels[box]).tolist() == list(range(8))
    assert np.count_nonzero(labels) == np.count_nonzero(other_labels)


def run_script(*arguments):
    """Run the importer as a user does, in a process of its own."""
    repository = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, repository / "scripts" / "import_openkbp.py",
         *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_the_script_writes_nifti_and_names_broken_patients(tmp_path):
    source, target = tmp_path / "raw", tmp_path / "out"
    place = (10, 20, 30)
    write_patient(
        source / "pt_1", {flat(*place): 1040.0}, Larynx=[flat(*place)]
    )
    done = run_script("--source", source, "--target", target)
    assert done.returncode == 0, done.stderr
    scan = nibabel.load(target / "pt_1" / "ct.nii.gz")
    labels = nibabel.load(target / "pt_1" / "labels.nii.gz")
    assert scan.shape == labels.shape == GRID
    assert np.asarray(scan.dataobj)[place] == 40
    assert np.asarray(labels.dataobj)[place] == ORGANS.index("Larynx") + 1
    np.testing.assert_allclose(scan.header.get_zooms(), SPACING)
    assert (target / "database.yaml").is_file()

    broken = write_patient(source / "pt_2", Larynx=[128**3])
    done = run_script("--source", source, "--target", target)
    assert done.returncode == 2
    assert str(broken / "Larynx.csv") in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (target / "pt_2").exists()


def test_a_file_that_ends_within_a_row_is_not_whole(tmp_path):
    """A lost end of a mask is a smaller organ."""
    folder = write_patient(tmp_path / "pt_1", Larynx=[100, 101, 102])
    path = folder / "Larynx.csv"
    for lost in (1, 2, 3):
        path.write_text(path.read_text()[:-lost])
        with pytest.raises(InputError, match="ends within a row"):
            read_case(folder)


def test_a_folder_instead_of_a_mask_is_not_an_absent_mask(tmp_path):
    folder = write_patient(tmp_path / "pt_1", Larynx=[100])
    (folder / "Mandible.csv").mkdir()
    with pytest.raises(InputError, match=r"Mandible\.csv: expected a CSV"):
        read_case(folder)


def test_more_rows_than_voxels_are_not_read(tmp_path):
    folder = write_patient(tmp_path / "pt_1", Larynx=[100])
    (folder / "Larynx.csv").write_text(",data\n" + "1\n" * (128**3 + 1))
    with pytest.raises(InputError, match="found 2097154 rows"):
        read_case(folder)


@pytest.mark.parametrize("noted", ["Heart\n", "Mandible\nLarynx\n", "\xff"])
def test_notes_of_an_earlier_import_are_checked(tmp_path, noted):
    write_patient(tmp_path / "raw" / "pt_1", Larynx=[100])
    import_openkbp(tmp_path / "raw", tmp_path / "out")
    marker = tmp_path / "out" / "pt_1" / "contoured.txt"
    assert marker.read_text() == "Larynx\n"
    marker.write_text(noted, encoding="latin-1")
    with pytest.raises(InputError, match=r"contoured\.txt: expected names"):
        import_openkbp(tmp_path / "raw", tmp_path / "out")
