"""The layout and the format of docs/extending, found, read and built."""

import dataclasses
import re

import numpy as np
import pytest
from tiny_records import SPACING_MM, tiny_experiment, tiny_scan
from worked_examples import example_of

from tfpartial.config import label_space_of
from tfpartial.databases import find_cases, layouts, read_case
from tfpartial.errors import InputError
from tfpartial.records.store import RecordStore
from tfpartial.scans import formats
from tfrecords_builder import fingerprints
from tfrecords_builder.build import build_records

CASES = ("anna", "ben")


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """One database of the new layout; its scans are of the new format."""
    text = example_of("scan_format.md")["Text"]()
    monkeypatch.setattr(formats, "FORMATS", [*formats.FORMATS, text])
    layout = example_of("layout.md")["LAYOUT"]
    monkeypatch.setattr(layouts, "LAYOUTS", [*layouts.LAYOUTS, layout])
    rows = []
    for seed, case in enumerate(CASES):
        names = f"{case}.scan.txt", f"{case}_labels.scan.txt"
        for name, array in zip(names, tiny_scan(seed), strict=True):
            lines = [array.shape, SPACING_MM, *([v] for v in array.ravel("F"))]
            text = "\n".join(" ".join(map(str, line)) for line in lines)
            (tmp_path / name).write_text(text)
        rows.append(",".join([case, *names]))
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    database = {
        "name": "listed",
        "layout": "case_list",
        "path": str(tmp_path),
        "values": {"1": "bone", "2": "left", "3": "right"},
        "licence": "none",
        "citation": "none",
    }
    splits = {"file": None, "test_share": 0.0, "validation_share": 0.0}
    return tiny_experiment(
        tmp_path,
        tmp_path / "records",
        databases=[database],
        build={"splits": splits},
    )


def test_its_cases_are_read(experiment):
    (database,) = experiment.databases
    space = label_space_of(experiment)
    cases = find_cases(database, space)
    assert [case.case_id for case in cases] == list(CASES)
    image, stored = read_case(cases[1], database, space)
    hu, labels = tiny_scan(1)
    np.testing.assert_array_equal(image.array, hu)
    np.testing.assert_array_equal(stored.array, labels)
    assert image.spacing_mm == SPACING_MM


def test_records_are_built_and_each_file_is_hashed_and_decoded_once(
    experiment, monkeypatch
):
    read: list[str] = []
    hashed: list[str] = []
    text = formats.FORMATS[-1]
    decode, hash_file = type(text).read, fingerprints.file_hash

    def count_decoding(self, path):
        read.append(path.name)
        return decode(self, path)

    def count_hashing(path):
        hashed.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(type(text), "read", count_decoding)
    monkeypatch.setattr(fingerprints, "file_hash", count_hashing)
    build_records(experiment)
    files = [f"{c}{end}.scan.txt" for c in CASES for end in ("", "_labels")]
    assert sorted(read) == sorted(hashed) == sorted(files)
    store = RecordStore(experiment.records_dir, "listed")
    hu, labels = store.read_scan(0)
    # The scan's spacing is that of the records: its own voxels come back.
    np.testing.assert_array_equal(hu, tiny_scan(0)[0])
    np.testing.assert_array_equal(labels, tiny_scan(0)[1])


def test_its_faults_come_with_those_of_every_layout(experiment, tmp_path):
    (tmp_path / "ben.scan.txt").unlink()
    rows = (tmp_path / "cases.csv").read_text()
    (tmp_path / "cases.csv").write_text(f"{rows}\ncarla,one.scan.txt")
    (database,) = experiment.databases
    database = database.model_copy(update={"image": "scan.nii"})
    with pytest.raises(InputError) as caught:
        find_cases(database, label_space_of(experiment))
    text = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    assert "row 3" in text
    assert "'image' has no effect in layout 'case_list'" in text
    assert "ben.scan.txt" in text


@pytest.mark.parametrize("case_id", ["ben", "../ben", ""])
def test_a_case_id_is_new_and_a_file_name(experiment, tmp_path, case_id):
    rows = (tmp_path / "cases.csv").read_text()
    row = f"{case_id},ben.scan.txt,ben_labels.scan.txt"
    (tmp_path / "cases.csv").write_text(f"{rows}\n{row}")
    (database,) = experiment.databases
    with pytest.raises(InputError, match=r"cases\.csv: row 3: .*file name"):
        find_cases(database, label_space_of(experiment))


def test_an_unknown_layout_is_named(experiment):
    (database,) = experiment.databases
    other = database.model_copy(update={"layout": "case_lists"})
    with pytest.raises(InputError, match="case_lists.*mean 'case_list'"):
        find_cases(other, label_space_of(experiment))


@pytest.mark.parametrize("case_id", ["../evil", "a/b", "..", ""])
def test_a_case_id_that_is_no_file_name_is_refused(
    experiment, monkeypatch, case_id
):
    (database,) = experiment.databases
    (layout,) = [x for x in layouts.LAYOUTS if x.name == "case_list"]
    find = layout.find

    def find_renamed(database, faults):
        sources = find(database, faults)
        return {case_id: sources["anna"], "ben": sources["ben"]}

    renamed = dataclasses.replace(layout, find=find_renamed)
    monkeypatch.setattr(layouts, "LAYOUTS", [renamed])
    with pytest.raises(InputError, match=f"'{re.escape(case_id)}'"):
        find_cases(database, label_space_of(experiment))
