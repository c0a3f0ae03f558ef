"""The couch, on the built-in phantom, whose prone scans lie on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfpartial.audit.checks.position import couch_side, position_findings
from tfpartial.audit.coarse import coarse_copy
from tfpartial.config import Phantom
from tfpartial.databases import Case, ScanFile
from tfpartial.phantom.make import make_case
from tfpartial.scans import Volume

OPTIONS = Phantom(shape=(96, 80, 40))


@pytest.mark.parametrize(
    ("position", "side"), [("supine", "posterior"), ("prone", "anterior")]
)
def test_the_couch_of_the_phantom(position: str, side: str) -> None:
    scan, _ = make_case(OPTIONS, position, 1)
    assert couch_side(coarse_copy(scan)) == side
    turned = np.diag([-1.0, -1, 1, 1]) @ scan.affine
    other = {"posterior": "anterior", "anterior": "posterior"}[side]
    assert couch_side(coarse_copy(Volume(scan.array, turned))) == other


def test_the_declared_turn_comes_before_the_couch() -> None:
    """A scanner that was not told lays the patient on the back."""
    scan, _ = make_case(OPTIONS, "prone", 1)
    of_scanner = np.diag([-1.0, -1, 1, 1]) @ scan.affine
    for turned, side in ((True, "anterior"), (False, "posterior")):
        case = Case("a", "db", ScanFile(Path()), "a", np.ones(1), turned)
        patient = case.in_patient_frame(Volume(scan.array, of_scanner))
        assert couch_side(coarse_copy(patient)) == side


def test_no_couch_no_verdict() -> None:
    hu = np.full((40, 30, 30), -1000, np.int16)
    hu[10:30, 8:22] = 40
    assert couch_side(hu) is None
    assert couch_side(np.full((9, 9, 9), -1000, np.int16)) is None
    hu[5:35, 1] = -300  # behind
    assert couch_side(hu) == "posterior"
    hu[5:35, 28] = -300  # and in front
    assert couch_side(hu) is None
    hu[:, 1] = -1000
    hu[18:22, 1] = -300  # a cable
    hu[:, 28] = -1000
    assert couch_side(hu) is None


def test_only_contradictions_are_findings() -> None:
    findings = position_findings(
        {
            ("a", "1"): ("posterior", "supine"),
            ("a", "2"): ("anterior", "supine"),
            ("b", "3"): ("anterior", "prone"),
            ("b", "4"): ("posterior", "prone"),
            ("b", "5"): (None, "prone"),
        }
    )
    assert [f.where for f in findings] == ["a/2", "b/4"]
    assert "Is the patient prone" in findings[0].text
