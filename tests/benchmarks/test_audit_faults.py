"""benchmarks/audit_faults.py: what counts as found, what as a false alarm."""

from __future__ import annotations

import pytest
from audit_faults import _tally
from plant_faults import Plant

from tfpartial.audit import Finding

SWAP = Plant("left/right swap", "db1", "a", "labels exchanged")
COPY = Plant("the same scan twice", "db2", "copy", "cropped", "db1/b")


def finding(kind: str, case: str, *others: str, label: str = "") -> Finding:
    database = "db2" if case == "copy" else "db1"
    return Finding(kind, database, case, label, 1.0, "text", others)


@pytest.mark.parametrize(
    ("plant", "found", "counts"),
    [
        (SWAP, finding("orientation", "a"), 1),
        (SWAP, finding("orientation", "c"), 0),  # another case
        (SWAP, finding("position", "a"), 0),  # another fault
        (COPY, finding("same_scan", "copy", "db1/b"), 1),
        (COPY, finding("same_scan", "b", "db2/copy"), 1),
        (COPY, finding("same_scan", "copy", "db1/c"), 0),  # another original
    ],
)
def test_a_plant_counts_only_by_its_own_finding(
    plant: Plant, found: Finding, counts: int
) -> None:
    tally = _tally([], [found], [plant])
    assert tally["planted"][plant.kind] == {"planted": 1, "found": counts}
    assert len(tally["missed"]) == 1 - counts


def test_a_finding_on_an_untouched_case_is_a_false_alarm() -> None:
    before = [finding("outlier", "c", label="cord")]
    after = [
        *before,
        finding("outlier", "c", label="jaw"),
        finding("orientation", "a"),  # a plant
        finding("outlier", "b"),  # the original of a copy
    ]
    tally = _tally(before, after, [SWAP, COPY])
    assert tally["new_on_cases_without_a_plant"] == ["outlier: db1/c jaw"]
    assert tally["findings_on_untouched"] == {"outlier": 1}


def test_a_pair_that_was_not_planted_is_a_false_alarm() -> None:
    """Also where one of the two is a copy, of another scan."""
    after = [
        finding("same_scan", "copy", "db1/b"),
        finding("same_scan", "copy", "db1/c"),
    ]
    tally = _tally([], after, [COPY])
    assert tally["new_on_cases_without_a_plant"] == ["same_scan: db2/copy"]
