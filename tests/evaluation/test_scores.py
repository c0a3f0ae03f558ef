"""Scores of one case, voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfpartial.evaluation.scores import Score, score_case
from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import Structure, structures_of
from tfpartial.metrics.overlap import dice
from tfpartial.metrics.surface import hd95_mm, nsd, surface_distances

SPACE = LabelSpace((Label("cord"), Label("left"), Label("right")))
# codes: 0 background, 1 cord, 2 left or right, 3 ignore
SETS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], bool)
ALL = np.ones(4, bool)
SPACING = (2.0, 1.0, 1.0)


def score(
    stored: list[int],
    predicted: list[int] | None,
    structures: list[Structure] | None = None,
) -> dict[str, Score]:
    """Score a row of voxels along K; 2 mm^3 each."""
    rows = score_case(
        "db",
        "case",
        np.array(stored, np.uint8)[None, None],
        None
        if predicted is None
        else np.array(predicted, np.uint8)[None, None],
        structures or structures_of(SETS, ALL, SPACE),
        SPACING,
        tolerance_mm=1.0,
    )
    return {row.label: row for row in rows}


def test_one_row_per_structure() -> None:
    rows = score([0, 1, 2], [0, 1, 2])
    assert list(rows) == ["cord", "left+right"]
    assert not rows["cord"].grouped
    assert rows["left+right"].grouped


def test_dice_and_volume_by_hand() -> None:
    row = score([0, 1, 1, 0], [0, 0, 1, 1])["cord"]
    assert row.dice == 2 * 1 / (2 + 2)
    assert row.reference_ml == row.prediction_ml == 2 * 2 / 1000
    assert row.hd95_mm == 1.0


def test_group_is_the_union_of_its_predictions() -> None:
    """Left and right predicted over the merged mask: all 4 voxels agree."""
    row = score([2, 2, 0, 2, 2], [2, 2, 0, 3, 3])["left+right"]
    assert row.dice == 1.0
    assert row.hd95_mm == 0.0


def test_group_counts_what_lies_beyond_its_mask() -> None:
    row = score([2, 2, 0, 0], [2, 3, 3, 0])["left+right"]
    assert row.dice == 2 * 2 / (2 + 3)


def test_ignored_voxels_count_in_neither() -> None:
    """The two ignored voxels are predicted as cord: no false positive."""
    row = score([1, 1, 3, 3, 0], [1, 1, 1, 1, 0])["cord"]
    assert row.dice == 1.0
    assert row.prediction_ml == 2 * 2 / 1000


def test_open_background_is_not_the_label() -> None:
    only_cord = structures_of(
        SETS[[0, 1, 3]], np.array([1, 1, 0, 0], bool), SPACE
    )
    row = score([1, 0, 0], [1, 1, 2], only_cord)["cord"]
    assert row.dice == 2 * 1 / (1 + 2)


def test_false_positive_where_absence_is_known() -> None:
    row = score([0, 2, 0], [1, 2, 0])["cord"]
    assert row.false_positive
    assert row.dice == row.nsd == 0.0
    assert row.hd95_mm == math.inf
    assert row.reference_ml == 0.0
    assert row.prediction_ml == 2 / 1000


def test_absent_in_both_is_not_counted() -> None:
    row = score([0, 2, 0], [0, 2, 0])["cord"]
    assert math.isnan(row.dice)
    assert math.isnan(row.nsd)
    assert math.isnan(row.hd95_mm)
    assert not row.false_positive


def test_overlooked_label_scores_zero() -> None:
    row = score([0, 1, 0], [0, 0, 0])["cord"]
    assert row.dice == row.nsd == 0.0
    assert row.hd95_mm == math.inf
    assert not row.false_positive


def test_missing_prediction_is_flagged_and_zero_for_every_label() -> None:
    rows = score([0, 1, 0], None)
    for row in rows.values():
        assert row.missing
        assert row.dice == row.nsd == 0.0
        assert row.hd95_mm == math.inf
        assert not row.false_positive
    assert rows["cord"].reference_ml == 2 / 1000


def test_cropping_does_not_change_a_score() -> None:
    """The boxes that make it fast against whole-scan masks."""
    generator = np.random.default_rng(0)
    stored = generator.choice(4, (12, 10, 14), p=[0.7, 0.1, 0.1, 0.1])
    predicted = generator.choice(4, stored.shape, p=[0.7, 0.1, 0.1, 0.1])
    rows = score_case(
        "db",
        "case",
        stored.astype(np.uint8),
        predicted.astype(np.uint8),
        structures_of(SETS, ALL, SPACE),
        SPACING,
        1.0,
    )
    known = stored != 3
    pairs = (
        (stored == 1, (predicted == 1) & known),
        (stored == 2, (predicted >= 2) & known),
    )
    for row, (a, b) in zip(rows, pairs, strict=True):
        distances = surface_distances(a, b, SPACING)
        assert row.dice == dice(a, b)
        assert row.hd95_mm == hd95_mm(distances)
        assert row.nsd == pytest.approx(nsd(distances, 1.0))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="reference's shape"):
        score([0, 1, 0], [0, 1])
