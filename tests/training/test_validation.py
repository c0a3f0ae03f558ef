"""Whole-scan validation: whose Dice, of which voxels, of which scans."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tfpartial.evaluation.scores import score_case
from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import structures_of
from tfpartial.training.callbacks.validation import (
    ValidationScan,
    WholeScanValidation,
    read_validation_scans,
    scan_dice,
)

SPACE = LabelSpace((Label("a"), Label("b"), Label("c")))
WINDOW = (-200.0, 200.0)
# c is not annotated: what is stored as 0 may be c ("open background").
SETS = np.array(
    [
        [1, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 1, 0],  # a and b merged
        [1, 1, 1, 1],  # ignore
    ],
    bool,
)
ANNOTATED = np.array([1, 1, 1, 0], bool)


def scan_of(labels: np.ndarray, sets: np.ndarray = SETS) -> ValidationScan:
    hu = np.zeros(labels.shape, np.int16)
    return ValidationScan(
        "base/case", hu, labels.astype(np.uint8), sets, ANNOTATED, 0.0, 50.0
    )


def line(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(-1, 1, 1)


def test_a_label_predicted_on_open_background_is_no_fault() -> None:
    scan = scan_of(line(2, 0, 0), sets=SETS[[0, 1, 2, 4]])
    assert scan_dice(scan, line(2, 3, 0), SPACE) == {"b": 1}
    # b is annotated, so here it is a false positive.
    found = scan_dice(scan, line(2, 2, 0), SPACE)
    assert found == {"b": pytest.approx(2 / 3)}


def test_what_is_neither_there_nor_predicted_has_no_dice() -> None:
    scan = scan_of(line(1, 1), sets=SETS[[0, 1, 2, 4]])
    assert scan_dice(scan, line(1, 1), SPACE) == {"a": 1}
    assert scan_dice(scan, line(1, 2), SPACE) == {
        "a": pytest.approx(2 / 3),
        "b": 0,
    }


def test_merged_labels_by_hand() -> None:
    """a, b and {a, b} are stored: what may be either is scored as a+b."""
    scan = scan_of(line(0, 0, 1, 2, 3, 3, 4))
    perfect = line(0, 3, 1, 2, 1, 2, 0)
    assert scan_dice(scan, perfect, SPACE) == {"a+b": 1}
    # Of the reference's 4 voxels 3 are hit; predicted are those and voxel 0;
    # the ignored voxel does not count.
    prediction = line(2, 0, 1, 1, 2, 0, 1)
    assert scan_dice(scan, prediction, SPACE) == {
        "a+b": pytest.approx(2 * 3 / (4 + 4))
    }


def test_validation_and_evaluate_agree() -> None:
    """One scan and prediction, two stages: the same numbers."""
    rng = np.random.default_rng(4)
    for sets in (SETS, SETS[[0, 1, 2, 4]], SETS[[0, 3, 4]]):
        labels = rng.integers(0, len(sets), (4, 5, 6)).astype(np.uint8)
        prediction = rng.integers(0, SPACE.num_labels, (4, 5, 6))
        rows = score_case(
            "base", "case", labels, prediction,
            structures_of(sets, ANNOTATED, SPACE), (1.0, 1.0, 1.0), 1.0,
        )  # fmt: skip
        assert rows
        scan = scan_of(labels, sets=sets)
        assert scan_dice(scan, prediction, SPACE) == {
            row.label: row.dice for row in rows
        }


def test_the_reference_shows_only_what_is_one_label() -> None:
    scan = scan_of(line(0, 1, 2, 3, 4))
    np.testing.assert_array_equal(scan.reference(), line(0, 1, 2, 0, 0))


class FakeStore:
    """Cases of a database; voxels say which store and case they are of."""

    stored_sets = SETS

    def __init__(self, mark: int, *splits: str) -> None:
        self.mark = mark
        self.cases = [
            SimpleNamespace(
                case=f"c{n}", split=split, annotated=ANNOTATED, mean=n, sd=1.0
            )
            for n, split in enumerate(splits)
        ]

    def case_numbers(self, split: str) -> list[int]:
        return [n for n, c in enumerate(self.cases) if c.split == split]

    def read_scan(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        hu = np.full((1, 1, 1), 10 * self.mark + number, np.int16)
        return hu, np.zeros((1, 1, 1), np.uint8)


def test_databases_take_turns_and_only_validation_is_read() -> None:
    stores = {
        "x": FakeStore(1, "validation", "train", "validation", "validation"),
        "y": FakeStore(2, "test", "validation"),
        "z": FakeStore(3, "train"),
    }
    scans = read_validation_scans(stores, 10)
    assert [s.name for s in scans] == ["x/c0", "y/c1", "x/c2", "x/c3"]
    assert [int(s.hu.item()) for s in scans] == [10, 21, 12, 13]
    assert [s.mean for s in scans] == [0, 1, 2, 3]
    first = read_validation_scans(stores, 2)
    assert [s.name for s in first] == ["x/c0", "y/c1"]
    assert read_validation_scans(stores, 0) == []
    name = first[0].name.split("/")[0]
    chosen = read_validation_scans(stores, 10, [name])
    assert {scan.name.split("/")[0] for scan in chosen} == {name}
    assert 0 < len(chosen) < len(scans)


def says(label: int, name: str) -> keras.Model:
    """Build a network that finds one label everywhere."""
    image = keras.Input((None, None, None, 1))
    layer = keras.layers.Conv3D(SPACE.num_labels, 1, kernel_initializer="zeros")
    network = keras.Model(image, layer(image), name=name)
    layer.bias.assign(np.eye(SPACE.num_labels, dtype="f4")[label])
    return network


class FakeLog:
    """Remembers what TensorBoard would show."""

    def __init__(self) -> None:
        self.scalars: dict[str, float] = {}
        self.images: dict[str, np.ndarray] = {}
        self.steps: set[int] = set()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        self.steps.add(step)
        self.scalars |= scalars

    def write_image(self, step: int, tag: str, image: np.ndarray) -> None:
        self.steps.add(step)
        self.images[tag] = image


def validation_of(
    folder: Path, log: FakeLog, teacher: keras.Model | None, **options: int
) -> WholeScanValidation:
    labels = np.zeros((8, 4, 4), np.uint8)
    labels[:4], labels[4:6] = 1, 2
    callback = WholeScanValidation(
        [scan_of(labels, SETS[[0, 1, 2, 4]])],
        says(0, "validation"),
        log,
        folder,
        space=SPACE,
        hu_window=WINDOW,
        window_shape=(4, 4, 4),
        steps_per_epoch=10,
        **({"every_epochs": 2, "images_every_epochs": 4} | options),
    )
    student = says(1, "student")
    callback.set_model(SimpleNamespace(student=student, teacher=teacher))
    callback.set_params({"epochs": 7})
    return callback


def test_each_network_is_validated_under_its_own_name(tmp_path: Path) -> None:
    log = FakeLog()
    callback = validation_of(tmp_path, log, teacher=says(2, "teacher"))
    callback.on_epoch_end(1)
    # The student says a everywhere: a is 4 of 8 planes, 2 * 4 / (4 + 8).
    # The teacher says b everywhere: b is 2 of 8 planes, 2 * 2 / (2 + 8).
    scalars = log.scalars
    assert scalars["validation_student/a"] == pytest.approx(2 / 3)
    assert scalars["validation_student/b"] == 0
    assert scalars["validation_teacher/a"] == 0
    assert scalars["validation_teacher/b"] == pytest.approx(0.4)
    assert log.steps == {20}
    (entry,) = json.loads((tmp_path / "validation.json").read_text())
    assert entry["epoch"] == 2
    assert entry["student"]["dice"]["a"] == pytest.approx(2 / 3)
    assert entry["teacher"]["dice"]["b"] == pytest.approx(0.4)


def test_without_a_teacher_the_student_alone(tmp_path: Path) -> None:
    log = FakeLog()
    validation_of(tmp_path, log, teacher=None).on_epoch_end(1)
    assert {tag.split("/")[0] for tag in log.scalars} == {"validation_student"}


def test_epochs_of_validation_and_the_last_one(tmp_path: Path) -> None:
    callback = validation_of(tmp_path, FakeLog(), teacher=None)
    for epoch in range(7):
        callback.on_epoch_end(epoch)
    callback.on_epoch_end(5)  # done again after a restart
    history = json.loads((tmp_path / "validation.json").read_text())
    assert [entry["epoch"] for entry in history] == [2, 4, 6]
    callback.on_epoch_end(6)
    history = json.loads((tmp_path / "validation.json").read_text())
    assert [entry["epoch"] for entry in history] == [2, 4, 6, 7]


def test_the_picture_shows_the_reference_and_the_students_labels(
    tmp_path: Path,
) -> None:
    log = FakeLog()
    callback = validation_of(tmp_path, log, teacher=says(2, "teacher"))
    callback.on_epoch_end(3)
    (tag,) = log.images
    assert tag == "validation/base/case"
    picture = log.images[tag].astype(int)
    ct, reference, student = (picture[:, n : n + 8] for n in (0, 8, 16))
    # a is the patient's left half, at the right of the picture; the student
    # colours everything like it.
    colour = reference[0, -1]
    assert (reference[:, 4:] == colour).all()
    assert (reference[:, :2] == ct[:, :2]).all()
    assert (student == colour).all()
