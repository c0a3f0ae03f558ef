"""What TFDS and TensorFlow read in the records, field by field."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tiny_records import SPLITS, tiny_experiment, write_databases

from tfpartial.config import Experiment
from tfpartial.labels import resolved_labels
from tfpartial.records.store import RecordStore
from tfrecords_builder import write_shards
from tfrecords_builder.build import build_records
from tfrecords_builder.build_plan import make_plans, scan_jobs
from tfrecords_builder.scan_cache import preprocess_scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_databases(tmp_path)
    return tmp_path


@pytest.fixture
def experiment(folder: Path) -> Experiment:
    return tiny_experiment(folder, folder / "records")


def records_by_tfds(home: Path, split: str) -> list[dict]:
    dataset = tfds.builder_from_directory(str(home)).as_dataset(
        split=split, shuffle_files=False
    )
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("database", ["full", "part"])
def test_every_field_of_every_record_is_what_the_scan_says(
    experiment: Experiment, folder: Path, database: str
) -> None:
    """As TFDS reads it, against the arrays that preprocessing gives."""
    home = build_records(experiment, [database]) / database / "1.0.0"
    records = [
        r for split in SPLITS[database] for r in records_by_tfds(home, split)
    ]
    plan = make_plans(experiment, [database])[0]
    window = experiment.preprocess.hu_window
    for job, case in zip(
        scan_jobs(plan, experiment, folder), plan.cases, strict=True
    ):
        assert preprocess_scan(job) == ()
        with np.load(job.target) as scan:
            hu, labels = scan["image"], scan["labels"]
            sets = plan.stored_sets
            of_scan = {
                "scan_shape": hu.shape,
                "spacing_mm": experiment.preprocess.spacing_mm,
                "affine": scan["affine"].astype(np.float32),
                "case": case.case_id.encode(),
                "database": database.encode(),
                "schema_version": 1,
                "annotated_labels": words(case.annotated),
                "resolved_labels": words(resolved_labels(sets, case.annotated)),
                "stored_value_labels": [words(row) for row in sets],
                "body_mean_hu": np.float32(scan["mean"]),
                "body_sd_hu": np.float32(scan["sd"]),
                "hu_window": window,
                "body_threshold_hu": experiment.preprocess.body_threshold_hu,
            }
        for first in itertools.product(*(range(0, n, 8) for n in hu.shape)):
            box = tuple(slice(n, n + 8) for n in first)
            values = labels[box]
            expected = of_scan | {
                "image": hu[box],
                "labels": values,
                "shape": values.shape,
                "position": first,
                "voxel_counts": [(values == v).sum() for v in range(len(sets))],
                "body_voxels": (hu[box] > -500).sum(),
            }
            record = records.pop(0)
            assert record.keys() == expected.keys()
            for name, value in expected.items():
                np.testing.assert_array_equal(record[name], value, name)
    assert not records


def words(labels: np.ndarray) -> list[int]:
    """Return the bitmask of a few labels, bit by bit."""
    return [sum(2**n for n, chosen in enumerate(labels) if chosen)]


def test_tfds_says_whose_the_records_are(folder: Path) -> None:
    experiment = tiny_experiment(folder, folder / "records")
    full, part = experiment.databases
    full = full.model_copy(
        update={"licence": "CC BY 4.0", "citation": "Doe 2020"}
    )
    declared = tiny_experiment(
        folder, folder / "records", databases=[full, part]
    )
    records_dir = build_records(declared)
    info = tfds.builder_from_directory(str(records_dir / "full" / "1.0.0")).info
    assert info.name == "full"
    assert str(info.version) == "1.0.0"
    assert info.redistribution_info.license == "CC BY 4.0"
    assert info.citation == "Doe 2020"
    assert info.disable_shuffling
    found = {name: split.num_examples for name, split in info.splits.items()}
    assert found == {"train": 36, "validation": 18, "test": 18}


def test_many_shards_read_like_one(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By TFDS, by the index, and by TensorFlow alone."""
    one = build_records(experiment, ["full"])
    # As if a file were full after one scan.
    monkeypatch.setattr(write_shards, "_SHARD_VOXELS", 1)
    many = build_records(
        experiment.model_copy(update={"records_dir": str(tmp_path / "many")}),
        ["full"],
    )
    home = many / "full" / "1.0.0"
    shards = sorted(home.glob("full-train.tfrecord-*"))
    assert len(shards) == 2
    assert shards[-1].name.endswith(f"-of-{len(shards):05d}")
    for split in SPLITS["full"]:
        expected = records_by_tfds(one / "full" / "1.0.0", split)
        found = records_by_tfds(home, split)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], name)
    stores = [RecordStore(folder, "full") for folder in (one, many)]
    for number in range(stores[0].num_records):
        blocks = [store.read_block(number) for store in stores]
        np.testing.assert_array_equal(blocks[0], blocks[1])
    whole = next((one / "full" / "1.0.0").glob("full-train.tfrecord-*"))
    raw = [
        list(tf.data.TFRecordDataset(list(map(str, files))).as_numpy_iterator())
        for files in ([whole], shards)
    ]
    assert raw[0] == raw[1]


def test_features_are_serialised_in_a_stable_order(
    experiment: Experiment,
) -> None:
    """Else the bytes of a record differ from process to process."""
    records_dir = build_records(experiment, only=["part"])
    shard = next((records_dir / "part").glob("*/*.tfrecord*"))
    for raw in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
        example = tf.train.Example.FromString(raw)
        assert example.SerializeToString(deterministic=True) == raw
