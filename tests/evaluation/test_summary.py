"""Means with their n; trap 7: nothing is left out silently."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.summary import finite_mean, summarise

NAN, INF = math.nan, math.inf
BASE = Score(
    database="a",
    case="1",
    label="cord",
    grouped=False,
    dice=1.0,
    reference_ml=10.0,
    prediction_ml=10.0,
    hd95_mm=0.0,
    nsd=1.0,
    false_positive=False,
    missing=False,
)


def row(case: str, label: str, dice: float, **changes: object) -> Score:
    return replace(BASE, case=case, label=label, dice=dice, **changes)


def test_labels_are_averaged_not_rows() -> None:
    """cord in three cases, jaw in one: (mean(.9, .8, .7) + .4) / 2."""
    summary = summarise(
        [
            row("1", "cord", 0.9),
            row("2", "cord", 0.8),
            row("3", "cord", 0.7),
            row("1", "jaw", 0.4),
        ]
    )
    assert summary.dice == pytest.approx(((0.9 + 0.8 + 0.7) / 3 + 0.4) / 2)
    assert (summary.n, summary.cases) == (2, 3)
    assert [label.n for label in summary.labels] == [3, 1]


def test_missing_case_pulls_the_mean_down() -> None:
    """Trap 7: leaving it out would give .8 with n = 1."""
    summary = summarise(
        [
            row("1", "cord", 0.8),
            row("2", "cord", 0.0, nsd=0.0, hd95_mm=INF, missing=True),
        ]
    )
    (cord,) = summary.labels
    assert cord.dice == pytest.approx((0.8 + 0) / 2)
    assert (cord.n, cord.cases, cord.missing) == (2, 2, 1)
    assert summary.dice == pytest.approx(0.4)


def test_label_that_a_case_does_not_annotate_is_not_averaged() -> None:
    """Trap 7: case 2 has no row for jaw; its n says so."""
    summary = summarise(
        [row("1", "cord", 0.8), row("1", "jaw", 0.6), row("2", "cord", 0.4)]
    )
    jaw = summary.label("jaw")
    assert jaw is not None
    assert (jaw.dice, jaw.n) == (0.6, 1)
    assert summary.dice == pytest.approx(((0.8 + 0.4) / 2 + 0.6) / 2)


def test_absent_in_both_lowers_n_not_the_mean() -> None:
    summary = summarise(
        [
            row("1", "cord", 0.8),
            row("2", "cord", NAN, nsd=NAN, hd95_mm=NAN, reference_ml=0.0),
        ]
    )
    (cord,) = summary.labels
    assert (cord.dice, cord.n, cord.cases, cord.absent) == (0.8, 1, 2, 1)
    assert (cord.nsd, cord.hd95_n) == (1.0, 1)


def test_label_without_any_counted_case_is_left_out_of_the_mean() -> None:
    nothing = row("1", "jaw", NAN, nsd=NAN, hd95_mm=NAN)
    summary = summarise([row("1", "cord", 0.8), nothing])
    assert (summary.dice, summary.n) == (0.8, 1)
    jaw = summary.label("jaw")
    assert jaw is not None
    assert jaw.n == 0
    assert math.isnan(jaw.dice)


def test_false_positives_are_counted_and_score_zero() -> None:
    wrong = {"reference_ml": 0.0, "false_positive": True, "hd95_mm": INF}
    summary = summarise(
        [
            row("1", "cord", 0.8),
            row("2", "cord", 0.0, prediction_ml=2.0, nsd=0.0, **wrong),
            row("3", "cord", 0.0, prediction_ml=4.0, nsd=0.0, **wrong),
            row("4", "cord", NAN, nsd=NAN, hd95_mm=NAN, reference_ml=0.0),
        ]
    )
    (cord,) = summary.labels
    assert (cord.absent, cord.false_positives) == (3, 2)
    assert cord.false_positive_ml == (2.0 + 4.0) / 2
    assert (cord.dice, cord.n) == (pytest.approx(0.8 / 3), 3)


def test_infinite_distances_are_counted_beside_their_mean() -> None:
    summary = summarise(
        [
            row("1", "cord", 0.8, hd95_mm=2.0),
            row("2", "cord", 0.8, hd95_mm=4.0),
            row("3", "cord", 0.0, hd95_mm=INF),
        ]
    )
    (cord,) = summary.labels
    assert (cord.hd95_mm, cord.hd95_n, cord.hd95_infinite) == (3.0, 2, 1)
    assert (summary.hd95_mm, summary.hd95_n) == (3.0, 1)


def test_standard_deviation_is_that_of_a_sample() -> None:
    (cord,) = summarise([row("1", "cord", 0.2), row("2", "cord", 0.6)]).labels
    assert cord.dice_sd == pytest.approx(math.sqrt((0.2**2 + 0.2**2) / 1))
    (alone,) = summarise([row("1", "cord", 0.2)]).labels
    assert math.isnan(alone.dice_sd)


def test_same_case_id_in_two_databases_is_two_cases() -> None:
    rows = [BASE, replace(BASE, database="b")]
    assert summarise(rows).cases == 2


def test_mean_of_nothing_is_nan_with_n_zero() -> None:
    mean, n = finite_mean([NAN, INF])
    assert math.isnan(mean)
    assert n == 0
    assert summarise([]).n == 0


def test_a_declared_label_without_a_case_has_n_0() -> None:
    summary = summarise(
        [row("1", "cord", 0.8), row("1", "left+right", 0.6)],
        ["cord", "left", "right", "jaw"],
    )
    jaw = summary.label("jaw")
    assert jaw is not None
    assert (jaw.n, jaw.cases, jaw.dice != jaw.dice) == (0, 0, True)
    assert [label.label for label in summary.labels] == [
        "cord",
        "left+right",
        "jaw",
    ]
    assert (summary.n, summary.dice) == (2, pytest.approx(0.7))
