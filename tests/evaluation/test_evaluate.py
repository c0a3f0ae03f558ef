"""A split of two tiny databases, scored from files to files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tfpartial import process_pool as in_order
from tfpartial.config import Experiment
from tfpartial.errors import InputError
from tfpartial.evaluation import evaluate_predictions
from tfpartial.evaluation.scores import Score
from tfpartial.scans import Volume, write_volume

# LPS, 2 x 3 x 1 mm: nothing here is its own mirror image.
AFFINE = np.diag([-2.0, -3.0, 1.0, 1.0])
SHAPE = (6, 7, 8)
CORD, LEFT, RIGHT, JAW = 1, 2, 3, 4
NAMES = dict(enumerate(["background", "cord", "left", "right", "jaw"]))


def scan(*boxes: tuple[int, int]) -> np.ndarray:
    """Return labels: each (value, start) is a box of 2^3 voxels along K."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, start in boxes:
        labels[2:4, 2:4, start : start + 2] = value
    return labels


def write(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    write_volume(path, Volume(labels, affine))


def database(root: Path, name: str, values: dict[str, object]) -> dict:
    return {
        "name": name,
        "layout": "label_map_folder",
        "path": str(root / name),
        "values": values,
        "licence": "CC0",
        "citation": "none",
    }


def add_case(root: Path, name: str, case: str, labels: np.ndarray) -> None:
    write(root / name / case / "ct.nii.gz", np.zeros(SHAPE, np.int16))
    write(root / name / case / "labels.nii.gz", labels)


def experiment_of(root: Path, **options: object) -> Experiment:
    """Two databases: 'full' annotates all, 'merged' cord and left+right."""
    full = {"1": "cord", "2": "left", "3": "right", "4": "jaw"}
    merged = {"10": "cord", "20": ["left", "right"], "99": "ignore"}
    split = {
        "full": {"train": ["t"], "test": ["a", "b"]},
        "merged": {"test": ["m"]},
    }
    (root / "splits.json").write_text(json.dumps(split))
    return Experiment.model_validate(
        {
            "label_space": [{"name": NAMES[i]} for i in range(1, 5)],
            "databases": [
                database(root, "full", full),
                database(root, "merged", merged),
            ],
            "records_dir": "records",
            "run_dir": "run",
            "build": {"splits": {"file": str(root / "splits.json")}},
            "evaluate": {"tolerance_mm": 1.0, "workers": 1, **options},
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with both databases and perfect predictions."""
    organs = scan((CORD, 0), (LEFT, 2), (RIGHT, 4))
    for case in ("a", "b", "t"):
        add_case(tmp_path, "full", case, organs)
        write(tmp_path / "predictions/full" / f"{case}.nii.gz", organs)
    (tmp_path / "predictions/full/t.nii.gz").unlink()
    stored = scan((10, 0), (20, 2), (20, 4), (99, 6))
    add_case(tmp_path, "merged", "m", stored)
    # Ignored voxels are predicted as jaw, which 'merged' does not annotate.
    write(
        tmp_path / "predictions/merged/m.nii.gz",
        scan((CORD, 0), (LEFT, 2), (RIGHT, 4), (JAW, 6)),
    )
    return tmp_path


def rows_of(scores: tuple[Score, ...]) -> list[tuple[str, str, str]]:
    return [(score.database, score.case, score.label) for score in scores]


def test_rows_are_the_annotated_labels_of_the_cases(root: Path) -> None:
    table = evaluate_predictions(experiment_of(root), root / "predictions")
    assert rows_of(table.scores) == [
        *(
            ("full", case, label)
            for case in "ab"
            for label in ("cord", "left", "right", "jaw")
        ),
        ("merged", "m", "cord"),
        ("merged", "m", "left+right"),
    ]
    assert [s.grouped for s in table.scores] == [False] * 9 + [True]


def test_perfect_predictions_score_one_and_absent_jaw_is_not_counted(
    root: Path,
) -> None:
    table = evaluate_predictions(experiment_of(root), root / "predictions")
    for score in table.scores:
        if score.label == "jaw":
            assert math.isnan(score.dice)
        else:
            assert (score.dice, score.hd95_mm, score.nsd) == (1, 0, 1)
    summary = table.summary()
    assert (summary.dice, summary.n, summary.cases) == (1.0, 4, 3)
    cord = summary.label("cord")
    assert cord is not None
    assert cord.n == 3
    # 8 voxels of 2 * 3 * 1 mm
    assert cord.reference_ml == pytest.approx(8 * 6 / 1000)


def test_files_appear_where_asked_with_provenance(root: Path) -> None:
    evaluate_predictions(
        experiment_of(root), root / "predictions", out_dir=root / "out"
    )
    assert (root / "out/scores.csv").is_file()
    content = json.loads((root / "out/evaluation.json").read_text())
    provenance = content["provenance"]
    assert provenance["cases"] == {"full": 2, "merged": 1}
    assert provenance["split"] == "test"
    assert provenance["tolerance_mm"] == 1.0
    assert provenance["tfpartial"]


def test_false_positive_of_an_absent_label(root: Path) -> None:
    labels = scan((CORD, 0), (LEFT, 2), (RIGHT, 4), (JAW, 6))
    write(root / "predictions/full/b.nii.gz", labels)
    table = evaluate_predictions(experiment_of(root), root / "predictions")
    jaw = table.summary().label("jaw")
    assert jaw is not None
    assert (jaw.absent, jaw.false_positives, jaw.n, jaw.dice) == (2, 1, 1, 0)


def test_missing_predictions_are_an_error_that_lists_all(root: Path) -> None:
    """Trap 7."""
    (root / "predictions/full/b.nii.gz").unlink()
    (root / "predictions/merged/m.nii.gz").unlink()
    with pytest.raises(InputError) as error:
        evaluate_predictions(experiment_of(root), root / "predictions")
    first, second = error.value.faults
    assert "case 'full/b'" in first
    assert "case 'merged/m'" in second
    assert "evaluate.missing=zero" in first
    assert not (root / "predictions/scores.csv").exists()


def test_missing_predictions_count_as_zero_on_request(root: Path) -> None:
    """Trap 7: the mean over both cases of 'full' is 1/2, not 1."""
    (root / "predictions/full/b.nii.gz").unlink()
    table = evaluate_predictions(
        experiment_of(root, missing="zero"), root / "predictions"
    )
    flagged = [s.case for s in table.scores if s.missing]
    assert flagged == ["b"] * 4
    left = table.summary("full").label("left")
    assert left is not None
    assert (left.dice, left.n, left.missing) == (0.5, 2, 1)
    assert any("1 of 3 case(s)" in line for line in table.warnings)


def test_leftover_predictions_are_warned_of(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("full/t", "full/x", "other/y", "loose"):
        write(root / f"predictions/{name}.nii.gz", scan())
    table = evaluate_predictions(experiment_of(root), root / "predictions")
    extra, loose = table.warnings
    assert "3 prediction(s) not scored" in extra
    assert "full/t.nii.gz, full/x.nii.gz, other/y.nii.gz" in extra
    assert "loose.nii.gz" in loose
    assert extra in caplog.text


def test_databases_can_be_chosen(root: Path) -> None:
    table = evaluate_predictions(
        experiment_of(root), root / "predictions", databases=["merged"]
    )
    assert table.databases == ("merged",)
    # What was left out on purpose is not worth a warning.
    assert table.warnings == ()


def test_another_grid_is_refused(root: Path) -> None:
    """Trap 8: a shift of half a voxel, and another shape."""
    moved = AFFINE.copy()
    moved[0, 3] += 1.0
    write(root / "predictions/full/a.nii.gz", scan(), moved)
    write(root / "predictions/merged/m.nii.gz", scan()[1:])
    with pytest.raises(InputError) as error:
        evaluate_predictions(experiment_of(root), root / "predictions")
    first, second = error.value.faults
    assert "a.nii.gz" in first
    assert "affine" in first
    assert "m.nii.gz" in second
    assert "shape" in second


def test_label_index_outside_the_label_space_is_refused(root: Path) -> None:
    write(root / "predictions/full/a.nii.gz", scan((5, 0)))
    with pytest.raises(InputError, match=r"indices 0 to 4 .*found 0 to 5"):
        evaluate_predictions(experiment_of(root), root / "predictions")


def test_names_of_another_label_space_are_refused(root: Path) -> None:
    swapped = {**NAMES, LEFT: "right", RIGHT: "left"}
    path = root / "predictions/full/a.nii.gz"
    write_volume(path, Volume(scan(), AFFINE), swapped)
    with pytest.raises(InputError, match=r"a\.json: expected the names"):
        evaluate_predictions(experiment_of(root), root / "predictions")
    write_volume(path, Volume(scan(), AFFINE), NAMES)
    evaluate_predictions(experiment_of(root), root / "predictions")


def test_fault_of_a_reference_is_reported(root: Path) -> None:
    write(root / "full/a/labels.nii.gz", scan((7, 0)))
    with pytest.raises(InputError, match="/a/labels"):
        evaluate_predictions(experiment_of(root), root / "predictions")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"databases": ["ful"]}, "Did you mean 'full'"),
        ({"split": "validation"}, "no case of full, merged"),
        ({"split": "train", "databases": ["merged"]}, "no case of merged"),
    ],
)
def test_wrong_arguments(root: Path, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate_predictions(
            experiment_of(root), root / "predictions", **arguments
        )


def test_no_folder_of_predictions(root: Path) -> None:
    with pytest.raises(InputError, match="Run predict first"):
        evaluate_predictions(experiment_of(root), root / "nowhere")


@pytest.mark.slow
def test_a_pool_of_processes_gives_the_same_table(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = evaluate_predictions(experiment_of(root), root / "predictions")
    monkeypatch.setattr(in_order, "POOL_PAYS_SECONDS", 0.0)
    pooled = evaluate_predictions(
        experiment_of(root, workers=2), root / "predictions"
    )
    assert repr(pooled.scores) == repr(serial.scores)


def test_a_tilted_scan_is_scored_in_space(root: Path) -> None:
    """At 45 degrees neighbours are further apart, voxels are not larger."""
    tilted = AFFINE.copy()
    tilted[1, 2] = tilted[2, 2]
    organs = np.zeros(SHAPE, np.uint8)
    organs[:, :, 2:5] = CORD
    for affine in (AFFINE, tilted):
        write(root / "full/a/ct.nii.gz", np.zeros(SHAPE, np.int16), affine)
        write(root / "full/a/labels.nii.gz", organs, affine)
        write(root / "predictions/full/a.nii.gz", organs, affine)
        table = evaluate_predictions(
            experiment_of(root), root / "predictions", databases=["full"]
        )
        (row,) = [s for s in table.scores if (s.case, s.label) == ("a", "cord")]
        assert row.reference_ml == pytest.approx(
            organs.astype(bool).sum() * np.prod(np.diag(AFFINE)[:3]) / 1000
        )
