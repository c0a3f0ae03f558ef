"""A network against references: beyond a margin, where annotated."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.audit.checks.disagreement import (
    Disagreement,
    disagreement_findings,
    disagreement_table,
    disagreements,
)
from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import structures_of

SPACE = LabelSpace((Label("cord"), Label("jaw")))
# 0 background, 1 cord, 2 ignore
SETS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
CORD_ONLY = np.array([True, True, False])
SPACING = (10.0, 10.0, 10.0)  # a voxel is 1 ml


def compare(stored: np.ndarray, predicted: np.ndarray, **kwargs):
    structures = structures_of(SETS, CORD_ONLY, SPACE)
    return disagreements(stored, predicted, structures, SPACING, **kwargs)


def test_what_lies_beyond_the_margin_counts() -> None:
    stored = np.zeros((12, 1, 1), np.uint8)
    predicted = np.zeros((12, 1, 1), np.uint8)
    stored[0:3] = 1
    predicted[2:8] = 1
    (found,) = compare(stored, predicted, margin_mm=15.0)
    # Voxels 3 to 7 are extra, 3 is 10 mm from the reference: 4 are beyond.
    assert found.extra_ml == pytest.approx(4.0)
    # Voxel 0 is 20 mm from the prediction, voxel 1 only 10.
    assert found.missed_ml == pytest.approx(1.0)
    assert (found.reference_ml, found.predicted_ml) == pytest.approx((3, 6))


def test_pieces() -> None:
    stored = np.zeros((20, 1, 1), np.uint8)
    predicted = stored.copy()
    predicted[[0, 1, 2, 8, 9]] = 1
    (found,) = compare(stored, predicted)
    assert (found.extra_ml, found.extra_piece_ml) == pytest.approx((5, 3))
    assert found.missed_ml == 0


def test_ignore_counts_for_neither_side() -> None:
    stored = np.full((8, 1, 1), 2, np.uint8)
    predicted = np.ones((8, 1, 1), np.uint8)
    stored[0] = 1
    (found,) = compare(stored, predicted)
    assert (found.extra_ml, found.missed_ml) == (0, 0)
    assert found.predicted_ml == pytest.approx(1.0)


def test_labels_that_are_not_annotated_are_not_compared() -> None:
    stored = np.zeros((8, 1, 1), np.uint8)
    predicted = np.full((8, 1, 1), 2, np.uint8)  # jaw everywhere
    (found,) = compare(stored, predicted)
    assert found.name == "cord"
    assert found.extra_ml == 0


def entry(extra: float, missed: float) -> Disagreement:
    return Disagreement("cord", extra, missed, extra, missed, 10.0, 12.0)


def test_table_and_findings_are_ranked() -> None:
    by_case = {
        ("a", "1"): (entry(0.5, 0.0),),
        ("a", "2"): (entry(3.0, 0.0),),
        ("b", "1"): (entry(0.0, 20.0),),
    }
    first, second = disagreement_table(by_case)
    assert (first.database, first.missed_cases, first.missed_ml) == (
        "b", 1, 20.0,
    )  # fmt: skip
    assert (second.cases, second.extra_cases, second.extra_ml) == (2, 1, 1.75)
    assert second.volume_ratio == pytest.approx(1.2)
    findings = disagreement_findings(by_case)
    scores = {f.where: f.score for f in findings}
    assert scores == {"a/2": 3.0, "b/1": 20.0}
    texts = {f.where: f.text for f in findings}
    assert texts["a/2"].startswith("The network sees 3.0 ml of cord")
    assert texts["b/1"].startswith("The reference has 20.0 ml of cord")
