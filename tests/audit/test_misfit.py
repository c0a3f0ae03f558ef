"""Annotations that are moved against their image."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import case_of, structure

from tfpartial.audit.checks.misfit import (
    best_shift,
    expected_hu,
    misfit_finding,
    misfits,
)
from tfpartial.audit.checks.outliers import all_scores
from tfpartial.scans import Volume

NORMAL = np.array([10.0, 20, 30, 40, 50])
AIR = np.full(5, -900.0)


def cases_with(*rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list:
    usual = (NORMAL, NORMAL + 100, NORMAL + 200)
    return [
        case_of(
            "db",
            f"c{n}",
            *(structure(f"s{i}", hu=hu) for i, hu in enumerate(row)),
        )
        for n, row in enumerate([usual] * 12 + list(rows))
    ]


def test_one_wrong_structure_is_no_moved_annotation() -> None:
    cases = cases_with((AIR, NORMAL + 100, NORMAL + 200))
    assert misfits(all_scores(cases)) == {}


def test_two_of_three_are() -> None:
    cases = cases_with((AIR, AIR, NORMAL + 200))
    found = misfits(all_scores(cases))
    assert list(found) == [("db", "c12")]
    # Floors of 10 (median) and 30 HU: s1 is 1030 / 10 off at the median.
    assert found["db", "c12"] == pytest.approx(93.0)


def test_a_case_of_one_structure_is_left_to_the_outliers() -> None:
    cases = [
        case_of("db", f"c{n}", structure("s", hu=AIR if n == 3 else NORMAL))
        for n in range(12)
    ]
    assert misfits(all_scores(cases)) == {}


def test_the_usual_hu_are_those_of_the_same_database() -> None:
    """Contrast medium in one of two databases."""
    cases = [
        case_of(database, f"c{n}", structure("s", hu=NORMAL + offset + n))
        for database, offset in (("plain", 0), ("contrast", 100))
        for n in range(9)
    ]
    scores = all_scores(cases)
    # Percentiles 5, 50 and 95 of the fifth of nine cases.
    for database, offset in (("plain", 0), ("contrast", 100)):
        centres, deviations = expected_hu(scores, database)["s"]
        np.testing.assert_allclose(centres, NORMAL[[0, 2, 4]] + offset + 4)
        np.testing.assert_allclose(deviations, [30, 10, 30])  # the floors
    assert set(expected_hu(scores, "another")) == {"s"}


def test_the_shift_is_found_and_said() -> None:
    """Two boxes of other HU; labels 8 mm to the right, 12 mm to the feet."""
    array = np.full((40, 40, 40), 0, np.int16)
    array[10:16, 12:18, 20:26] = 300
    array[24:30, 20:26, 18:24] = 600
    image = Volume(array, np.diag([4.0, 4.0, 4.0, 1.0]))
    one, two = (np.roll(array == hu, (2, 0, -3), (0, 1, 2))
                for hu in (300, 600))  # fmt: skip
    expected = {
        "one": (np.full(3, 300.0), np.full(3, 10.0)),
        "two": (np.full(3, 600.0), np.full(3, 10.0)),
    }
    shift, fit, unmoved = best_shift(
        image, {"one": one, "two": two}, expected, np.random.default_rng(0)
    )
    np.testing.assert_allclose(shift, [-8, 0, 12])
    assert fit == 0
    assert unmoved > 3
    finding = misfit_finding(("db", "c"), 9.0, shift, fit, unmoved)
    assert "8 mm to the patient's left, 12 mm to the head" in finding.text
    finding = misfit_finding(("db", "c"), 9.0, shift, 3.0, 3.2)
    assert "No shift up to 40 mm" in finding.text
