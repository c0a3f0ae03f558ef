"""The new records: what changed, what did not, who says so, how to train."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pseudo_cases import known_prediction, write_run
from test_overwrite import slow_overwrite
from tiny_records import SPACING_MM, tiny_scan, write_nifti

from tfpartial.config import label_space_of
from tfpartial.config.database import CaseOverride
from tfpartial.config.experiment import Splits
from tfpartial.data.patches import PatchSampler
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.labels import candidate_table, resolved_labels
from tfpartial.pseudo_labels import make
from tfpartial.pseudo_labels.make import pseudo_label
from tfpartial.records.store import RecordStore
from tfpartial.training.records_check import check_records
from tfrecords_builder.build import build_records

DATABASES = ("full", "some", "merged")
LABELS = ("background", "bone", "left", "right")
# some: background, bone, ignore; merged: background, sides, ignore.
LEFT, RIGHT, BONE = 3, 4, 3


@pytest.fixture(scope="module")
def target(experiment, run, tmp_path_factory) -> Path:
    """The new records, which no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "load_segmenter", lambda run: segment)
        folder = tmp_path_factory.mktemp("target") / "pl"
        return pseudo_label(experiment, run, folder)


def segment(hu, mean, sd):
    return known_prediction(hu)


@pytest.fixture
def copied(target, tmp_path) -> Path:
    """A copy of the new records, to be changed."""
    return Path(shutil.copytree(target, tmp_path / "pl"))


def pairs(experiment, target, database):
    """Yield (entry, source labels, new labels, prediction) of each case."""
    old = RecordStore(experiment.records_dir, database)
    new = RecordStore(target, database)
    assert [c.case for c in old.cases] == [c.case for c in new.cases]
    for number, entry in enumerate(old.cases):
        hu, before = old.read_scan(number)
        same_hu, after = new.read_scan(number)
        np.testing.assert_array_equal(hu, same_hu)
        yield entry, before, after, known_prediction(hu)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "build.log"
    }


def test_only_background_of_training_scans_changes(experiment, target):
    codes = {
        "full": [0, 0, 0, 0],
        "some": [0, 0, LEFT, RIGHT],
        "merged": [0, BONE, 0, 0],
    }
    for database in DATABASES:
        for entry, before, after, prediction in pairs(
            experiment, target, database
        ):
            expected = before
            if entry.split == "train":
                expected = slow_overwrite(
                    before, prediction, entry.annotated, codes[database]
                )
            np.testing.assert_array_equal(after, expected)


def test_ignore_stays_and_the_case_is_not_annotated_any_further(
    experiment, target
):
    for entry, before, after, _ in pairs(experiment, target, "some"):
        np.testing.assert_array_equal(before == 2, after == 2)  # ignore
        np.testing.assert_array_equal(before == 1, after == 1)  # bone
        assert set(np.unique(after)) == (
            {0, 1, 2, LEFT, RIGHT} if entry.split == "train" else {0, 1, 2}
        )
    old = RecordStore(experiment.records_dir, "some")
    new = RecordStore(target, "some")
    for before, after in zip(old.cases, new.cases, strict=True):
        assert after.annotated.tolist() == [True, True, False, False]
        np.testing.assert_array_equal(before.annotated, after.annotated)
        np.testing.assert_array_equal(before.resolved, after.resolved)
        # A Dice that counts resolved labels counts no pseudo-label.
        resolved = resolved_labels(new.stored_sets, after.annotated)
        np.testing.assert_array_equal(after.resolved, resolved)
    assert new.ignore_value == old.ignore_value == 2


def test_a_side_of_a_merged_structure_is_never_written(experiment, target):
    """The database annotates both sides, as one mask."""
    store = RecordStore(target, "merged")
    assert store.stored_sets.tolist() == [
        [True, False, False, False],
        [False, False, True, True],
        [True, True, True, True],
        [False, True, False, False],  # pseudo bone
    ]
    for entry, before, after, prediction in pairs(experiment, target, "merged"):
        assert (prediction[before == 0] > 1).any()
        np.testing.assert_array_equal(before == 1, after == 1)
        assert set(np.unique(after)) == {0, 1, BONE}, entry.case


def test_what_counts_is_what_the_case_annotates(
    experiment, run, segmented, tmp_path
):
    """x1 annotates all that x0 leaves out; only x0 is filled in."""
    affine = np.diag([*SPACING_MM, 1.0])
    for number in range(2):
        hu, labels = tiny_scan(60 + number)
        home = tmp_path / "mixed" / f"x{number}"
        write_nifti(home / "ct.nii.gz", hu, affine)
        labels[(labels > 1) & (number == 0)] = 0
        write_nifti(home / "labels.nii.gz", labels, affine)
    mixed = experiment.databases[0].model_copy(update={
        "name": "mixed",
        "path": str(tmp_path / "mixed"),
        "cases": {"x0": CaseOverride(annotated=["bone"])},
    })  # fmt: skip
    splits = Splits(validation_share=0, test_share=0)
    changed = experiment.model_copy(update={
        "databases": [mixed],
        "records_dir": str(tmp_path / "records"),
        "build": experiment.build.model_copy(update={"splits": splits}),
    })  # fmt: skip
    build_records(changed)
    target = pseudo_label(changed, run, tmp_path / "pl")
    # background, bone, left, right, ignore; pseudo left, pseudo right.
    (_, before, after, prediction), (_, full, same, _) = pairs(
        changed, target, "mixed"
    )
    annotated, codes = np.array([1, 1, 0, 0], bool), [0, 0, 5, 6]
    expected = slow_overwrite(before, prediction, annotated, codes)
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(full, same)
    assert set(np.unique(full)) == {0, 1, 2, 3}


def test_a_fully_annotated_database_is_copied(experiment, target):
    source = Path(experiment.records_dir) / "full"
    assert contents(source) == contents(target / "full")


def test_only_named_databases_change(experiment, run, segmented, tmp_path):
    target = pseudo_label(experiment, run, tmp_path / "pl", ["some"])
    assert len(segmented) == 2
    source = Path(experiment.records_dir) / "merged"
    assert contents(source) == contents(target / "merged")


def test_provenance_can_be_recomputed(experiment, run, target):
    report = json.loads((target / "pseudo_labels.json").read_text())
    assert report["databases"]["full"] == {"copied": True}
    some = report["databases"]["some"]
    made = some["made_by"]
    assert made["run"] == "sl1"
    assert made["network"] == "student"
    assert made["seed"] == 0
    assert made["weights_sha256"] == run.weights_hash("student")
    assert made["stored_values"] == {"left": LEFT, "right": RIGHT}
    assert list(some["cases"]) == ["s0", "s1"]
    total = background = lefts = 0
    for entry, before, after, _ in pairs(experiment, target, "some"):
        if entry.split != "train":
            continue
        found = some["cases"][entry.case]
        assert found["voxels"]["left"] == (after == LEFT).sum()
        assert found["voxels"]["right"] == (after == RIGHT).sum()
        changed = (before != after).sum()
        assert found["share_of_voxels"] == changed / before.size
        assert found["share_of_background"] == changed / (before == 0).sum()
        total += before.size
        background += (before == 0).sum()
        lefts += (after == LEFT).sum()
    row = some["labels"]["left"]
    assert row["voxels"] == lefts
    assert row["cases"] == row["cases_with_voxels"] == 2
    assert row["volume_ml"] == pytest.approx(lefts * 27 / 1000)  # 3 mm voxels
    assert row["share_of_voxels"] == lefts / total
    assert row["share_of_background"] == lefts / background
    page = (target / "pseudo_labels.md").read_text()
    assert f"| some | left | 3 | 2 of 2 | {lefts} |" in page
    assert made["weights_sha256"] in page
    assert "Copied unchanged" in page


def test_the_records_and_their_manifest_name_the_run(target):
    for database, labels in (("some", ["left", "right"]), ("merged", ["bone"])):
        declared = json.loads(
            (target / database / "1.0.0" / "cases.json").read_text()
        )
        assert declared["pseudo_labels"]["run"] == "sl1"
        assert declared["stored_values"][3:] == [f"pseudo {n}" for n in labels]
        rows = {row["label"]: row for row in declared["statistics"]}
        for label in labels:
            assert rows[f"pseudo {label}"]["voxels"] == sum(
                case["pseudo_labels"]["voxels"][label]
                for case in declared["cases"]
                if case["split"] == "train"
            )
        for case in declared["cases"]:
            assert ("pseudo_labels" in case) == (case["split"] == "train")
    manifest = json.loads((target / "manifest.json").read_text())
    assert list(manifest["databases"]) == ["full", "merged", "some"]
    assert "pseudo_labels" not in manifest["databases"]["full"]
    page = (target / "manifest.md").read_text()
    assert "- pseudo-labels: left, right by the student of run sl1" in page


def test_tfds_reads_every_record(target):
    builder = tfds.builder_from_directory(str(target / "some" / "1.0.0"))
    store = RecordStore(target, "some")
    dataset = builder.as_dataset(split="train", shuffle_files=False)
    for number, record in enumerate(dataset.as_numpy_iterator()):
        image, labels = store.read_block(number)
        np.testing.assert_array_equal(record["image"], image)
        np.testing.assert_array_equal(record["labels"], labels)
        # bg; bone; all four; left = 4; right = 8
        stored = record["stored_value_labels"]
        assert stored.tolist() == [[1], [2], [15], [4], [8]]
        assert record["annotated_labels"].tolist() == [1 + 2]
    assert number + 1 == len(
        [n for n in store.case_of_record if store.cases[n].split == "train"]
    )


def stores_of(target):
    return {name: RecordStore(target, name) for name in DATABASES}


def test_records_pass_the_check_of_the_same_config(experiment, target, caplog):
    with caplog.at_level(logging.INFO):
        check_records(experiment, stores_of(target))
    assert (
        "some: the records carry pseudo-labels (left, right) by the student "
        "of run sl1" in caplog.text
    )
    assert "full: the records carry" not in caplog.text


def test_naive_training_is_plain_cross_entropy(experiment, target):
    """Every voxel of `some` names one label, but for ignore."""
    stores = stores_of(target)
    space = label_space_of(experiment)
    case = stores["some"].cases[0]
    table = candidate_table(stores["some"].stored_sets, case.annotated, "naive")
    assert table[[0, 1, LEFT, RIGHT]].astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    dataset = build_training_dataset(
        stores,
        space=space,
        supervision={"some": "naive"},
        weights={"full": 0.0, "merged": 0.0},
        label_share=0.7,
        patch_shape=(8, 8, 8),
        context_voxels=(0, 0, 0),
        augment={},
        hu_window=(-200.0, 200.0),
        seed=0,
        start_step=0,
        rows=range(4),
        readers=1,
    )
    batch = next(iter(dataset.as_numpy_iterator()))
    assert batch["candidates"].shape == (4, 6, 4)  # 5 values + outside
    label_of = {0: 0, 1: 1, LEFT: 2, RIGHT: 3}
    seen = set()
    for labels, candidates, annotated in zip(
        batch["labels"],
        batch["candidates"],
        batch["annotated_labels"],
        strict=True,
    ):
        assert annotated.tolist() == [True, True, False, False]
        voxels = candidates[labels]  # (8, 8, 8, L)
        for value in set(np.unique(labels).tolist()) & set(label_of):
            one = np.eye(4, dtype=bool)[label_of[value]]
            assert (voxels[labels == value] == one).all()
            seen.add(value)
    assert seen == set(label_of)


def drawn_values(store, supervision):
    sampler = PatchSampler(
        {"some": store},
        supervision={"some": supervision},
        weights={},
        label_share=1.0,
        patch_shape=(8, 8, 8),
        seed=1,
    )
    return {sampler.draw(step, 0).stored_value for step in range(60)}


def test_pseudo_labels_draw_patches_where_they_are_taken_for_labels(target):
    store = RecordStore(target, "some")
    assert drawn_values(store, "naive") == {1, LEFT, RIGHT}
    assert drawn_values(store, "partial") == {1}
    assert drawn_values(store, "unlabelled") == {None}


def test_the_same_call_again_does_nothing(
    experiment, run, copied, segmented, caplog
):
    before = contents(copied)
    with caplog.at_level(logging.INFO):
        pseudo_label(experiment, run, copied)
    for database in DATABASES:
        assert f"{database}: up to date" in caplog.text
    assert contents(copied) == before
    assert not segmented
    assert not (copied / ".work").exists()


def test_another_run_rebuilds_what_it_predicts(
    experiment, run, copied, segmented, tmp_path, caplog
):
    other = write_run(tmp_path / "sl2", experiment, b"two")
    with caplog.at_level(logging.INFO):
        pseudo_label(experiment, other, copied)
    # Two training scans in each of two databases.
    assert len(segmented) == 4
    assert "full: up to date" in caplog.text
    report = json.loads((copied / "pseudo_labels.json").read_text())
    assert report["databases"]["some"]["made_by"]["run"] == "sl2"
    # The same weights under another name are the same predictions.
    pseudo_label(experiment, write_run(tmp_path / "c", experiment, b"two"),
                 copied)  # fmt: skip
    assert len(segmented) == 4


def test_damaged_records_are_made_again(experiment, run, copied, segmented):
    shard = next((copied / "some").glob("*/*train.tfrecord*"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    pseudo_label(experiment, run, copied)
    assert shard.read_bytes() == whole
    assert len(segmented) == 2


def test_a_stopped_call_goes_on_where_it_stopped(
    experiment, run, target, segmented, tmp_path, monkeypatch
):
    """Stopped in the third scan: two are kept, two are segmented later."""
    whole = make.load_segmenter
    monkeypatch.setattr(make, "load_segmenter", lambda run: _stops_after_two())
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        pseudo_label(experiment, run, other)
    assert (other / "some").exists()
    assert not (other / "merged").exists()
    monkeypatch.setattr(make, "load_segmenter", whole)
    segmented.clear()
    pseudo_label(experiment, run, other)
    assert len(segmented) == 2
    log = (other / "build.log").read_text()
    names = re.findall(r"segmented (\S+)", log)
    assert names == ["some/s0", "some/s1", "merged/m0", "merged/m1"]
    assert contents(other) == contents(target)


def _stops_after_two():
    calls = []

    def segment(hu, mean, sd):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return known_prediction(hu)

    return segment
