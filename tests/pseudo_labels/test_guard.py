"""What is refused, all of it together and before any scan is segmented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pseudo_cases import NETWORK, SPLITS, experiment_of, write_run
from tiny_records import stamp_anew

from tfpartial.cli.builtin_data import ensure_phantom_records
from tfpartial.config import Phantom
from tfpartial.errors import InputError
from tfpartial.pseudo_labels.make import pseudo_label
from tfpartial.runs.loaded_run import load_run
from tfrecords_builder.build import build_records


@pytest.fixture(scope="module")
def otherwise_split(folder) -> Path:
    """Records of the same scans, f3 for training and f0 as a test scan."""
    splits = SPLITS | {
        "full": {"train": ["f1", "f3"], "validation": ["f2"], "test": ["f0"]}
    }
    (folder / "other_splits.json").write_text(json.dumps(splits))
    return build_records(other_experiment(folder))


def other_experiment(folder):
    build = {
        "block_shape": (8, 8, 8),
        "workers": 1,
        "splits": {"file": str(folder / "other_splits.json")},
    }
    records_dir = str(folder / "other")
    return experiment_of(folder, build=build, records_dir=records_dir)


def refused(experiment, run, target, segmented, only=None) -> str:
    with pytest.raises(InputError) as caught:
        pseudo_label(experiment, run, target, only)
    assert not segmented
    return str(caught.value)


def test_a_run_that_was_trained_on_a_test_scan_is_refused(
    folder, experiment, otherwise_split, segmented, tmp_path
):
    run = write_run(tmp_path / "sl1", other_experiment(folder))
    text = refused(experiment, run, tmp_path / "pl", segmented)
    assert "full/f3 is a test scan" in text
    assert f"{run.run_dir} was trained on it (as full/f3)" in text
    # f0 was its test scan, but no database is filled in with it.
    assert "f0" not in text
    assert not (tmp_path / "pl").exists()


def test_a_validation_scan_must_be_unseen_as_well(
    folder, experiment, segmented, tmp_path
):
    """Whatever it is called: found by its voxels."""
    renamed = tmp_path / "renamed"
    shutil.copytree(experiment.records_dir, renamed)
    path = renamed / "full" / "1.0.0" / "cases.json"
    cases = json.loads(path.read_text())
    for entry in cases["cases"]:
        if entry["case"] == "f2":
            entry |= {"case": "zzz", "split": "train"}
    path.write_text(json.dumps(cases))
    stamp_anew(path.parent)
    trained = experiment_of(folder, records_dir=str(renamed))
    run = write_run(tmp_path / "sl1", trained)
    text = refused(experiment, run, tmp_path / "pl", segmented)
    assert "full/f2 is a validation scan" in text
    assert "(as full/zzz)" in text


@pytest.mark.parametrize("whose", ["records", "run"])
def test_a_test_scan_is_never_filled_in(
    folder, experiment, segmented, tmp_path, whose
):
    """s1 is a training scan; the same voxels are tested elsewhere."""
    records = tmp_path / "records"
    shutil.copytree(experiment.records_dir, records)

    def cases_of(database):
        path = records / database / "1.0.0" / "cases.json"
        return path, json.loads(path.read_text())

    _, some = cases_of("some")
    twin = next(c for c in some["cases"] if c["case"] == "s1")["exact_hash"]
    path, full = cases_of("full")
    next(c for c in full["cases"] if c["split"] == "test")["exact_hash"] = twin
    path.write_text(json.dumps(full))
    stamp_anew(path.parent)
    changed = experiment_of(folder, records_dir=str(records))
    source, trained = experiment, changed
    if whose == "records":
        source, trained = changed, experiment
    run = write_run(tmp_path / "sl1", trained)
    text = refused(source, run, tmp_path / "pl", segmented)
    assert "some/s1 would get pseudo-labels" in text
    assert "is a test scan as full/f3" in text
    # Only of what is asked for.
    only_merged = pseudo_label(source, run, tmp_path / "pl", ["merged"])
    assert only_merged.is_dir()


def test_what_the_run_was_trained_on_must_be_known(
    folder, experiment, otherwise_split, segmented, tmp_path
):
    """Found by the hash in run.json: where the run says, or in the source."""
    moved = experiment_of(folder, records_dir="moved/away")
    away = moved.model_copy(update={"records_dir": experiment.records_dir})
    run = write_run(tmp_path / "sl1", away)
    config = run.run_dir / "config.yaml"
    config.write_text(config.read_text().replace(
        f"records_dir: {experiment.records_dir}", "records_dir: moved/away"
    ))  # fmt: skip
    found = load_run(run.run_dir)
    assert found.experiment.records_dir == "moved/away"
    pseudo_label(experiment, found, tmp_path / "pl")
    segmented.clear()

    about = run.run_dir / "run.json"
    about.write_text(json.dumps({"records_sha256": {"full": "0" * 64}}))
    text = refused(experiment, found, tmp_path / "pl2", segmented)
    assert "trained on records of 'full'" in text
    assert "moved/away" in text
    assert "Put those records back" in text
    # Fewer than it was trained on would leave some of its scans unchecked.
    for hashes in ({}, {"full": 5}, {"some": "0" * 64}, ["full"], None):
        about.write_text(json.dumps({"records_sha256": hashes}))
        text = refused(experiment, found, tmp_path / "pl2", segmented)
        assert "expected 'records_sha256'" in text
    about.write_text("{}")
    text = refused(experiment, found, tmp_path / "pl2", segmented)
    assert "expected 'records_sha256'" in text


def test_all_faults_together(folder, experiment, segmented, tmp_path):
    other = experiment_of(
        folder,
        label_space=[{"name": n} for n in ("bone", "right", "left")],
        preprocess={"spacing_mm": (2.0, 2.0, 2.0)},
    )
    run = write_run(tmp_path / "sl1", other)
    (run.run_dir / "student.weights.h5").unlink()
    (run.run_dir / "checkpoints" / "epoch-00002").rename(
        run.run_dir / "checkpoints" / "epoch-00001"
    )
    text = refused(
        experiment, run, Path(experiment.records_dir), segmented, ["full"]
    )
    for words in (
        "expected a run of the config's labels bone, left, right, found bone, "
        "right, left",
        "expected preprocess.spacing_mm (3.0, 3.0, 3.0)",
        "expected a finished run, found 1 of 2 epochs",
        "expected student.weights.h5, found no weights",
        "expected another folder than the records_dir",
        "every training case of 'full' annotates every label",
    ):
        assert words in text


def test_unknown_database_is_named(experiment, run, segmented, tmp_path):
    text = refused(experiment, run, tmp_path / "pl", segmented, ["somex"])
    assert "'somex' is not declared" in text
    assert "Did you mean 'some'?" in text


def test_fully_annotated_databases_leave_nothing_to_do(
    folder, experiment, run, segmented, tmp_path
):
    databases = [experiment.databases[0]]
    full = experiment_of(folder, databases=databases)
    text = refused(full, run, tmp_path / "pl", segmented)
    assert "there is nothing to overwrite" in text
    assert "full" in text


def test_missing_records_are_all_named(folder, run, segmented, tmp_path):
    nowhere = experiment_of(folder, records_dir=str(tmp_path / "none"))
    text = refused(nowhere, run, tmp_path / "pl", segmented)
    for name in ("full", "some", "merged"):
        assert str(tmp_path / "none" / name) in text


def test_a_folder_with_something_else_is_left_alone(
    experiment, run, otherwise_split, segmented, tmp_path
):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "thesis.txt").write_text("the only copy")
    text = refused(experiment, run, target, segmented)
    assert "found thesis.txt" in text
    text = refused(experiment, run, otherwise_split, segmented)
    assert "expected content 'pseudo-labelled', found 'built'" in text


def test_built_and_pseudo_labelled_records_do_not_replace_each_other(
    folder, experiment, run, segmented, tmp_path
):
    target = pseudo_label(experiment, run, tmp_path / "pl")
    before = (target / "some" / "1.0.0" / "cases.json").read_bytes()
    onto = experiment_of(folder, records_dir=str(target))
    with pytest.raises(InputError, match="found 'pseudo-labelled'"):
        build_records(onto)
    # fit builds the phantom's records, but not over these.
    phantom = Phantom(path=str(tmp_path / "phantom"))
    ensure_phantom_records(onto.model_copy(update={"phantom": phantom}))
    assert (target / "some" / "1.0.0" / "cases.json").read_bytes() == before
    segmented.clear()
    text = refused(onto, run, tmp_path / "again", segmented)
    assert "found pseudo-labels of run sl1 in 'some'" in text


def test_another_window_is_another_prediction(
    folder, experiment, run, segmented, tmp_path
):
    target = pseudo_label(experiment, run, tmp_path / "pl")
    finer = experiment_of(folder, predict={"overlap": 0.75}, network=NETWORK)
    again = write_run(tmp_path / "sl1", finer)
    pseudo_label(experiment, again, target)
    assert len(segmented) == 8
    faster = experiment_of(
        folder, predict={"overlap": 0.75, "windows_per_batch": 7}
    )
    pseudo_label(experiment, write_run(tmp_path / "sl1", faster), target)
    assert len(segmented) == 8
