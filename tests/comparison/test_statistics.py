"""The systems table: every number redone by hand, every gap flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tfpartial.comparison.statistics.build import build_systems_table
from tfpartial.comparison.statistics.significance import (
    Bootstrap,
    holm,
    paired_wilcoxon,
)
from tfpartial.errors import InputError
from tfpartial.evaluation.scores import Score

NAN = math.nan
LABELS = ("cord", "brain", "jaw")
Dice = Mapping[str, Sequence[float]]


def score(case: str, label: str, dice: float, **changes: Any) -> Score:
    found = Score(
        "db", case, label, False, dice, 10.0, 9.0, 1.0, dice, False, False
    )
    return replace(found, **changes)


def run(dice: Dice) -> list[Score]:
    """label -> one Dice per case."""
    return [
        score(f"c{position}", label, value)
        for label, values in dice.items()
        for position, value in enumerate(values)
    ]


def random_run(seed: int, better: float = 0.0, cases: int = 8) -> list[Score]:
    random = np.random.default_rng(seed)
    return run({x: better + random.random(cases) / 2 for x in LABELS})


def table(systems: dict[str, dict[int, list[Score]]], **more: Any) -> Any:
    options: dict[str, Any] = {
        "labels": LABELS,
        "overlapping": [x for x in more.get("labels", LABELS) if x != "jaw"],
        "baseline": "SL1",
        "columns": [*systems, *more.get("aliases", ())],
        "bootstrap": Bootstrap(resamples=200),
    }
    return build_systems_table(systems, **(options | more))


def test_rows_and_columns_in_the_papers_order() -> None:
    found = table({"SL1": {0: random_run(0)}, "ACE": {0: random_run(1)}})
    assert [row.name for row in found.rows] == [
        *LABELS,
        "overlapping",
        "non-overlapping",
        "total mean",
    ]
    assert [column.name for column in found.columns] == ["SL1", "ACE"]
    assert found.labels == LABELS
    assert found.cases == tuple(f"db/c{n}" for n in range(8))


def test_published_label_means_give_the_published_aggregates() -> None:
    """SL1 and SL12 of the paper: 74.5, 87.7, 81.1 and 78.1, 83.7, 80.9."""
    labels = ("bladder", "rectum", "uterus", "bones", "left", "right")
    published = {
        "SL1": (89.6, 73.7, 60.1, 87.9, 87.5, 87.6),
        "SL12": (90.7, 76.1, 67.4, 81.1, 85.1, 84.9),
    }
    found = table(
        {
            name: {
                0: run(
                    {x: [d / 100] for x, d in zip(labels, dice, strict=True)}
                )
            }
            for name, dice in published.items()
        },
        labels=labels,
        overlapping=labels[:3],
    )
    rows = ("overlapping", "non-overlapping", "total mean")
    for system, expected in (
        ("SL1", (74.5, 87.7, 81.1)),
        ("SL12", (78.1, 83.7, 80.9)),
    ):
        means = [round(100 * found.cell(system, r).mean, 1) for r in rows]
        assert means == pytest.approx(expected)


def test_cells_by_hand_over_seeds() -> None:
    """cord: seed means .5 and .7; jaw: .2 and .2."""
    found = table(
        {
            "SL1": {
                3: run({"cord": [0.4, 0.6], "jaw": [0.1, 0.3]}),
                5: run({"cord": [0.6, 0.8], "jaw": [0.2, 0.2]}),
            }
        },
        labels=("cord", "jaw"),
        overlapping=("cord",),
    )
    cord = found.cell("SL1", "cord")
    assert cord.mean == pytest.approx(0.6)
    # sample sd of .5 and .7: sqrt((.1² + .1²) / 1)
    assert cord.spread == pytest.approx(math.sqrt(0.02))
    assert (cord.seeds, cord.n, cord.comparison) == (2, 2, None)
    assert found.cell("SL1", "jaw").spread == pytest.approx(0, abs=1e-12)
    total = found.cell("SL1", "total mean")
    # seed means (.5 + .2) / 2 and (.7 + .2) / 2
    assert total.mean == pytest.approx((0.35 + 0.45) / 2)
    assert total.spread == pytest.approx(math.sqrt(2 * 0.05**2))
    assert found.columns[0].dice[0] == pytest.approx((0.5, 0.15))


def test_one_seed_has_no_spread() -> None:
    found = table({"SL1": {0: random_run(0)}})
    assert math.isnan(found.cell("SL1", "cord").spread)


def test_labels_weigh_alike_whatever_their_number_of_cases() -> None:
    """jaw in one case of three: total = ((.9 + .8 + .7) / 3 + .4) / 2."""
    found = table(
        {"SL1": {0: run({"cord": [0.9, 0.8, 0.7], "jaw": [0.4]})}},
        labels=("cord", "jaw"),
    )
    assert found.cell("SL1", "total mean").mean == pytest.approx(0.6)
    assert [c.n for c in found.columns[0].cells] == [3, 1, 3, 1, 3]
    assert math.isnan(found.columns[0].dice[1][1])


def test_comparison_is_over_patients_not_over_seeds_or_labels() -> None:
    """Six patients better in every label and seed: n = 6, p = 2 / 2^6."""
    base = {x: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6] for x in LABELS}
    better = {
        x: [d + 0.01 * (n + 1) for n, d in enumerate(v)]
        for x, v in base.items()
    }
    found = table(
        {
            "SL1": {0: run(base), 1: run(base)},
            "ACE": {0: run(better), 1: run(better)},
        }
    )
    for row in ("cord", "total mean"):
        comparison = found.cell("ACE", row).comparison
        assert comparison.n == 6
        assert comparison.p == 2 / 2**6
        assert comparison.mean_difference == pytest.approx(0.035)
        assert comparison.effect_size == 1


def test_patient_is_its_mean_over_seeds_and_labels() -> None:
    """Slow twin: every p from the scores, patient by patient."""
    systems = {
        name: {seed: random_run(10 * seed + k) for seed in (0, 1, 2)}
        for k, name in enumerate(("SL1", "ACE"))
    }
    found = table(systems)
    for row in found.rows:
        patients: dict[str, list[float]] = {}
        for name, runs in systems.items():
            for case in found.cases:
                values = [
                    s.dice
                    for scores in runs.values()
                    for s in scores
                    if f"db/{s.case}" == case and s.label in row.labels
                ]
                patients.setdefault(name, []).append(float(np.mean(values)))
        comparison = found.cell("ACE", row.name).comparison
        expected = paired_wilcoxon(patients["ACE"], patients["SL1"])
        assert comparison.p == pytest.approx(expected)
        assert comparison.mean_difference == pytest.approx(
            np.mean(patients["ACE"]) - np.mean(patients["SL1"])
        )


def test_where_one_system_has_no_value_the_pair_lacks_that_label() -> None:
    """Case 0, jaw: SL1 rightly finds none (NaN), ACE finds some (0)."""
    found = table(
        {
            "SL1": {0: run({"cord": [0.5, 0.5], "jaw": [NAN, 0.5]})},
            "ACE": {0: run({"cord": [0.6, 0.7], "jaw": [0.0, 0.6]})},
        },
        labels=("cord", "jaw"),
    )
    assert found.cell("SL1", "jaw").n == 1
    assert found.cell("ACE", "jaw").n == 2
    assert found.cell("ACE", "jaw").mean == pytest.approx(0.3)
    assert found.cell("ACE", "jaw").comparison.n == 1
    total = found.cell("ACE", "total mean").comparison
    # Case 0: .1 by cord alone; case 1: (.2 + .1) / 2.
    assert total.mean_difference == pytest.approx((0.1 + 0.15) / 2)
    assert total.n == 2


def test_seed_without_a_value_does_not_spoil_the_others() -> None:
    found = table(
        {"SL1": {0: run({"cord": [NAN]}), 1: run({"cord": [0.4]})}},
        labels=("cord",),
    )
    cell = found.cell("SL1", "cord")
    assert (cell.mean, cell.seeds, cell.n) == (0.4, 1, 1)


def three_systems() -> dict[str, dict[int, list[Score]]]:
    return {
        "SL1": {0: random_run(0)},
        "ACE": {0: random_run(1, 0.1)},
        "MT": {0: random_run(2, 0.2)},
    }


def test_holm_over_all_systems_and_rows() -> None:
    found = table(three_systems())
    comparisons = [
        cell.comparison for column in found.columns[1:] for cell in column.cells
    ]
    assert found.family == len(comparisons) == 2 * 6
    assert [c.p_holm for c in comparisons] == pytest.approx(
        holm([c.p for c in comparisons])
    )
    assert any(c.p_holm > c.p for c in comparisons)


def test_alias_repeats_a_column_and_counts_once() -> None:
    with_alias = table(three_systems(), aliases={"MTs+": "MT"})
    assert [c.name for c in with_alias.columns][-1] == "MTs+"
    assert with_alias.column("MTs+").alias_of == "MT"
    assert with_alias.column("MTs+").cells == with_alias.column("MT").cells
    assert with_alias.family == table(three_systems()).family
    # Shown under its other name only: still compared.
    alone = table(
        three_systems(), aliases={"MTs+": "MT"}, columns=["ACE", "MTs+"]
    )
    assert alone.family == 12
    assert alone.column("MTs+").cells == with_alias.column("MT").cells


def test_columns_choose_order_and_family() -> None:
    found = table(three_systems(), columns=["MT"])
    assert [c.name for c in found.columns] == ["MT"]
    assert found.family == 6
    assert found.cell("MT", "cord").comparison is not None


def test_missing_seeds_are_flagged_per_system() -> None:
    systems = three_systems()
    systems["SL1"][1] = random_run(9)
    systems["MT"] = {}
    found = table(systems, expected_seeds=(0, 1, 2))
    assert [c.seeds for c in found.columns] == [(0, 1), (0,), ()]
    assert [c.missing_seeds for c in found.columns] == [
        (2,),
        (1, 2),
        (0, 1, 2),
    ]
    empty = found.cell("MT", "cord")
    assert math.isnan(empty.mean)
    assert (empty.n, empty.comparison.n) == (0, 0)
    assert found.family == 6


def test_exclusion_changes_its_label_alone() -> None:
    systems = three_systems()
    plain = table(systems)
    found = table(systems, exclude={"c3": "cord"})
    assert found.excluded == (("db/c3", "cord"),)
    assert [c.n for c in found.columns[0].cells] == [7, 8, 8, 8, 8, 8]
    values = [s.dice for s in systems["SL1"][0] if s.label == "cord"]
    expected = np.mean(values[:3] + values[4:])
    assert found.cell("SL1", "cord").mean == pytest.approx(expected)
    assert found.cell("ACE", "cord").comparison.n == 7
    jaw = repr(found.cell("SL1", "jaw"))
    assert jaw == repr(plain.cell("SL1", "jaw"))


def test_merged_and_unlisted_structures_are_named_not_averaged() -> None:
    scores = random_run(0)
    merged = score("c0", "left+right", 1.0, grouped=True)
    found = table(
        {"SL1": {0: [*scores, merged]}},
        labels=LABELS[:2],
        overlapping=LABELS[:2],
    )
    assert found.left_out == ("jaw", "left+right")
    assert [row.name for row in found.rows] == [
        "cord",
        "brain",
        "overlapping",
        "total mean",
    ]


def test_merged_structure_is_a_row_if_asked_for() -> None:
    merged = score("c0", "left+right", 0.25, grouped=True)
    found = table(
        {"SL1": {0: [*random_run(0), merged]}}, labels=("cord", "left+right")
    )
    assert found.cell("SL1", "left+right").mean == 0.25
    assert found.cell("SL1", "left+right").n == 1


def test_missing_predictions_are_counted() -> None:
    scores = [
        replace(s, dice=0.0, missing=True) if s.case == "c1" else s
        for s in random_run(0)
    ]
    found = table({"SL1": {0: scores, 1: random_run(1)}})
    assert found.columns[0].missing_predictions == 1


def test_same_case_id_in_two_databases_is_two_cases() -> None:
    scores = random_run(0, cases=1)
    both = scores + [replace(s, database="other", dice=1.0) for s in scores]
    assert table({"SL1": {0: both}}).cases == ("db/c0", "other/c0")


def test_other_cases_are_refused() -> None:
    systems = three_systems()
    systems["MT"][0] = [s for s in systems["MT"][0] if s.case != "c2"]
    systems["ACE"][0].append(score("c9", "cord", 0.5))
    with pytest.raises(InputError) as caught:
        table(systems)
    more, fewer = caught.value.faults
    assert "ACE, seed 0" in more
    assert "a score more for db/c9 cord" in more
    assert "no score for db/c2 brain, db/c2 cord, db/c2 jaw" in fewer


def test_other_references_are_refused() -> None:
    systems = three_systems()
    systems["ACE"][0][0] = replace(systems["ACE"][0][0], reference_ml=11.0)
    with pytest.raises(InputError, match=r"another volume of db/c0 cord"):
        table(systems)


@pytest.mark.parametrize(
    ("exclude", "named"),
    [
        ({"c33": "cord"}, r"c33: cord\. Did you mean 'c3'"),
        ({"c3": "nose"}, "c3: nose"),
    ],
)
def test_an_exclusion_of_nothing_is_refused(
    exclude: dict[str, str], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        table(three_systems(), exclude=exclude)


def test_no_run_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="at least one evaluated run"):
        table({"SL1": {}})
