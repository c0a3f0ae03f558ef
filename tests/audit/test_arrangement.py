"""Turns, mirrors and sides, from where structures lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import case_of, patient, structure

from tfpartial.audit.checks.arrangement import (
    best_exchange,
    best_turn,
    centres_of,
    consensus,
    displacements,
    exchanged_sides,
    orientation_findings,
    side_of,
)
from tfpartial.audit.checks.likeness import Likeness, likeness_of_all
from tfpartial.audit.checks.turns import AS_IT_IS, TURNS
from tfpartial.audit.coarse import coarse_copy
from tfpartial.labels import Label, LabelSpace

# x to the right: the left label has the smaller x.
CENTRES = {
    "cord": (0, -40, -60),
    "jaw": (2, 50, 0),
    "gland_left": (-55, 0, 10),
    "gland_right": (56, 1, 9),
}
SPACE = LabelSpace(
    (
        Label("cord"),
        Label("jaw"),
        Label("gland_left", mirror="gland_right"),
        Label("gland_right", mirror="gland_left"),
    )
)


def case(name: str, seed: int, signs=(1, 1, 1), database="db"):
    rng = np.random.default_rng(seed)
    return case_of(
        database,
        name,
        *(
            structure(
                label,
                centre_mm=np.array(signs) * (centre + rng.normal(0, 5, 3))
                + 300,
            )
            for label, centre in CENTRES.items()
        ),
    )


def population() -> list:
    return [case(f"c{n}", n) for n in range(20)]


@pytest.mark.parametrize("signs", [AS_IT_IS, *TURNS])
def test_every_turn_is_recognised(signs) -> None:
    usual = consensus(population())
    found, gain = best_turn(
        displacements(centres_of(case("x", 99, signs))), usual
    )
    assert found == signs
    assert (gain > 0.8) == (signs != AS_IT_IS)


def test_only_the_turned_cases_are_found() -> None:
    cases = [*population(), case("prone", 50, (-1, -1, 1)),
             case("feet", 51, (1, -1, -1))]  # fmt: skip
    findings = orientation_findings(cases, SPACE, {})
    assert [f.case for f in findings] == ["prone", "feet"]
    assert "prone taken for supine" in findings[0].text
    assert "gland_left' lies" in findings[0].text  # turned: sides change too
    assert [f.quantity for f in findings] == ["turn", "turn"]


def test_exchanged_labels_are_found_without_any_other_case() -> None:
    wrong = case("x", 0)
    names = {"gland_left": "gland_right", "gland_right": "gland_left"}
    swapped = tuple(
        replace(s, name=names.get(s.name, s.name)) for s in wrong.structures
    )
    wrong = replace(wrong, structures=swapped)
    assert exchanged_sides(case("x", 0), SPACE) == []
    ((left, right, beyond),) = exchanged_sides(wrong, SPACE)
    assert (left, right) == ("gland_left", "gland_right")
    assert beyond == pytest.approx(111, abs=20)
    (finding,) = orientation_findings([wrong], SPACE, {})
    assert finding.quantity == "sides"


def test_two_exchanged_structures_are_named() -> None:
    """No turn explains it: the other structures lie right."""
    usual = consensus(population())
    right = centres_of(case("x", 99))
    wrong = right | {"cord": right["jaw"], "jaw": right["cord"]}
    names, gain = best_exchange(wrong, usual)
    assert names == ("cord", "jaw")
    assert gain > 0.8
    assert best_exchange(right, usual)[1] < 0.8


def test_an_exchange_that_no_turn_explains_is_a_finding() -> None:
    exchange = {"cord": "gland_left", "gland_left": "cord"}
    wrong = case("wrong", 99)
    swapped = tuple(
        replace(s, name=exchange.get(s.name, s.name)) for s in wrong.structures
    )
    wrong = replace(wrong, structures=swapped)
    (finding,) = orientation_findings([*population(), wrong], SPACE, {})
    assert finding.case == "wrong"
    assert "'cord' and 'gland_left' look exchanged" in finding.text


def test_a_database_that_is_turned_as_a_whole() -> None:
    cases = [
        *population(),
        *(case(f"d{n}", 70 + n, (-1, -1, 1), "other") for n in range(10)),
    ]
    findings = orientation_findings(cases, SPACE, {})
    whole = [f for f in findings if not f.case]
    assert [(f.database, f.others) for f in whole] == [("other", ("db",))]


@pytest.mark.parametrize(
    ("label", "side"),
    [
        (Label("kidney_left", mirror="kidney_right"), "left"),
        (Label("RightParotid", mirror="LeftParotid"), "right"),
        (Label("x", tg263="Parotid_L", mirror="y"), "left"),
        # TG-263 decides; "Bright" and "Lung" hold no side.
        (Label("leftish", tg263="Eye_R", mirror="y"), "right"),
        (Label("Bright_Lung", mirror="y"), None),
        (Label("left_ventricle"), None),
    ],
)
def test_sides_of_names(label: Label, side: str | None) -> None:
    assert side_of(label) == side


def test_what_the_image_alone_says_is_added() -> None:
    turned = Likeness((-1, -1, 1), 0.1, 1.0)
    cases = [*population(), case("prone", 50, (-1, -1, 1))]
    findings = orientation_findings(
        cases, SPACE, {("db", "prone"): turned, ("db", "c3"): turned}
    )
    texts = {f.case: f.text for f in findings}
    assert texts["prone"].endswith("The image alone says so too.")
    # Seen from the image, a turn about the long axis is a mirror.
    assert "in which left and right look alike" in texts["c3"]
    assert "prone taken for supine" in texts["c3"]
    assert "or mirrored front to back" in texts["c3"]
    mirrored = Likeness((1, -1, 1), 0.1, 1.0)
    prone = orientation_findings(cases, SPACE, {("db", "prone"): mirrored})
    assert prone[0].text.endswith("The image alone says so too.")
    weak = Likeness((-1, -1, 1), 0.01, 1.0)
    (finding,) = orientation_findings(cases, SPACE, {("db", "c3"): weak})
    assert "does not look turned" in finding.text


def test_a_scan_upside_down_is_seen_without_labels() -> None:
    """Scans that share broad structure; one of them turned."""
    shared = coarse_copy(patient(0)).astype(np.int32)
    rng = np.random.default_rng(0)
    scans = [
        (shared + rng.normal(0, 30, shared.shape)).astype(np.int16)
        for _ in range(9)
    ]
    scans[4] = scans[4][:, ::-1, ::-1]
    found = likeness_of_all(scans)
    assert [likeness.turned for likeness in found] == [
        number == 4 for number in range(9)
    ]
    assert found[4].signs == (1, -1, -1)
    assert not any(x.turned for x in likeness_of_all(scans[:6]))  # too few
