"""Records of another config are refused before training."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tiny_records import SPLITS, tiny_experiment, write_databases

from tfpartial.config import Experiment
from tfpartial.errors import InputError
from tfpartial.records.store import RecordStore
from tfpartial.training import records_check
from tfpartial.training.records_check import check_records
from tfrecords_builder.build import build_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records_check")
    write_databases(folder)
    build_records(tiny_experiment(folder, folder / "records"))
    # Not needed from here on: a training machine may not have the scans.
    (folder / "full").rename(folder / "full_away")
    (folder / "part").rename(folder / "part_away")
    return folder


def check(folder: Path, changes: dict[str, Any], *names: str) -> None:
    """Check with sections replaced, and fields of databases by name."""
    experiment = tiny_experiment(folder, folder / "records")
    raw = experiment.model_dump()
    for database in raw["databases"]:
        database.update(changes.get(database["name"], {}))
    for name in ("preprocess", "label_space"):
        section = changes.get(name, raw[name])
        raw[name] = (
            raw[name] | section if isinstance(section, dict) else section
        )
    raw["build"]["splits"].update(changes.get("splits", {}))
    stores = {
        name: RecordStore(folder / "records", name)
        for name in names or ("full", "part")
    }
    check_records(Experiment.model_validate(raw), stores)


def splits_file(folder: Path, **databases: dict[str, list[str]]) -> str:
    path = folder / "other_splits.json"
    path.write_text(json.dumps(SPLITS | databases))
    return str(path)


def test_records_of_the_same_config_pass(folder: Path) -> None:
    check(folder, {})
    check(folder, {"full": {"path": "/moved", "citation": "other"}})
    # The splits file names `full` as well, which is declared but not read.
    check(folder, {}, "part")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"preprocess": {"spacing_mm": (2.0, 2.0, 2.0)}},
         r"preprocess.spacing_mm \(records: \[3.0, 3.0, 3.0\], config: \[2.0"),
        ({"preprocess": {"hu_window": (-100.0, 200.0)}},
         r"preprocess.hu_window \(records: \[-200.0, 200.0\]"),
        ({"preprocess": {"body_threshold_hu": -400.0}},
         "preprocess.body_threshold_hu"),
        ({"full": {"values": {"1": "bone", "2": "right", "3": "left"}}},
         r"values \(records"),
        ({"full": {"values": {"1": "bone", "3": "right", "2": "left"}}},
         r"order of values \(records: \['1', '2', '3'\], config: \['1', '3'"),
        ({"full": {"values": {"1": "bone"}}}, "annotated labels of f0, f1"),
        ({"full": {"patient_position": "prone", "affine_frame": "scanner"}},
         "patient_position of f0, f1"),
        ({"full": {"cases": {"f1": {"annotated": ["bone"]}}}},
         "annotated labels of f1"),
        ({"full": {"exclude": ["f1"]}}, "exclude: the records hold f1"),
        ({"label_space": [{"name": n} for n in ("bone", "right", "left")]},
         "label_space"),
        ({"splits": {"file": None, "test_share": 1, "validation_share": 0}},
         r"split of f0, f1 \(records: train, config: test\)"),
        ({"splits": {"validation_cases": {"full": ["f1"]}}},
         r"split of f1 \(records: train, config: validation\)"),
    ],
)  # fmt: skip
def test_each_difference_is_refused(
    folder: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        check(folder, changes)
    assert "tfpartial build" in str(caught.value)


def test_all_differences_together(folder: Path) -> None:
    other = splits_file(
        folder,
        full={"train": ["f3"], "validation": ["f2"], "test": ["f0", "f1"]},
    )
    changes = {
        "preprocess": {"hu_window": (0.0, 1.0)},
        "splits": {"file": other},
    }
    with pytest.raises(InputError) as caught:
        check(folder, changes)
    full, part = caught.value.faults
    assert "split of f3 (records: test, config: train)" in full
    assert "split of f0, f1 (records: train, config: test)" in full
    assert "hu_window" in full
    assert "hu_window" in part


def test_splits_file_without_a_recorded_case(folder: Path) -> None:
    other = splits_file(folder, full={"train": ["f0", "f1"], "test": ["f3"]})
    with pytest.raises(InputError, match=r"in no split: f2.*records again"):
        check(folder, {"splits": {"file": other}})


def test_absent_splits_file_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check(folder, {"splits": {"file": "/away/splits.json"}})
    assert "used unchecked" in caplog.text


def test_a_label_that_no_training_case_contains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    original = records_check.read_cases_file

    def without_trained_bone(home: Path) -> dict[str, Any]:
        document = original(home)
        for case in document["cases"]:
            if case["split"] == "train":
                case["source_value_counts"][1] = 0
        return document

    monkeypatch.setattr(records_check, "read_cases_file", without_trained_bone)
    with pytest.raises(InputError, match=r"label 'bone'.*full/f2, full/f3"):
        check(folder, {})
    check(folder, {"splits": {"untrained_labels": "warn"}})
    assert "label 'bone'" in caplog.text
