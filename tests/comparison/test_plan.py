"""Which runs a comparison needs, and in what they differ."""

from __future__ import annotations

from typing import Any

import pytest

from tfpartial.comparison.declare import Comparison, System
from tfpartial.comparison.plan import Run, plan_runs, run_of, slug
from tfpartial.config import Experiment

Declared = tuple[Comparison, Experiment]
# docs/comparison.md: cases, candidate table of D2, consistency, dropout places,
# evaluated network.
TABLE = {
    "SL1": ("D1", None, False, 2, "student"),
    "SL12": ("D1+D2", "naive", False, 2, "student"),
    "ACE": ("D1+D2", "partial", False, 2, "student"),
    "PL": ("D1+D2", "naive", False, 2, "student"),
    "MT": ("D1+D2", "unlabelled", True, 5, "student"),
    "ACE/PL": ("D1+D2", "naive", False, 2, "student"),
    "ACE/MT": ("D1+D2", "partial", True, 5, "student"),
    "ACE+": ("D1+D2", "partial", False, 5, "student"),
    "MTs": ("D1+D2", "unlabelled", True, 2, "student"),
    "MTt": ("D1+D2", "unlabelled", True, 2, "teacher"),
    "MTs+": ("D1+D2", "unlabelled", True, 5, "student"),
}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: leaf
        for part, inner in value.items()
        for key, leaf in flat(inner, f"{name}.{part}".strip(".")).items()
    }


@pytest.mark.parametrize("system", TABLE)
def test_each_system_is_what_the_paper_says(
    declared: Declared, system: str
) -> None:
    cases, supervision, teacher, places, network = TABLE[system]
    run = run_of(plan_runs(*declared), system, 0)
    experiment = run.experiment
    weights = experiment.sampling.weights
    assert weights["phantom_supine"] == 1.0
    assert weights["phantom_prone"] == (1.0 if cases == "D1+D2" else 0.0)
    found = experiment.sampling.supervision.get("phantom_prone")
    assert found == supervision
    # A fully annotated case has every label: nothing of it is left open.
    assert experiment.sampling.supervision["phantom_supine"] == "partial"
    assert experiment.predict.network == run.networks[0]
    assert experiment.fit.teacher is teacher
    assert experiment.network.dropout == [0.5] * places
    assert network in run.networks


def test_overrides_hold_for_every_system(declared: Declared) -> None:
    assert {r.experiment.fit.epochs for r in plan_runs(*declared)} == {3}


def test_weights_of_databases_are_those_of_the_experiment(
    declared: Declared,
) -> None:
    comparison, base = declared
    weights = {"phantom_supine": 3.0, "phantom_prone": 2.0}
    sampling = base.sampling.model_copy(update={"weights": weights})
    changed = base.model_copy(update={"sampling": sampling})
    runs = plan_runs(comparison, changed)
    assert run_of(runs, "ACE", 1).experiment.sampling.weights == weights
    assert run_of(runs, "SL1", 1).experiment.sampling.weights == {
        "phantom_supine": 3.0,
        "phantom_prone": 0.0,
    }


def test_the_network_used_is_the_systems(declared: Declared) -> None:
    """SL1 has no teacher, whatever the experiment uses by itself."""
    comparison, base = declared
    predict = base.predict.model_copy(update={"network": "teacher"})
    changed = base.model_copy(update={"predict": predict})
    run = run_of(plan_runs(comparison, changed), "SL1", 0)
    assert run.experiment.predict.network == "student"


def with_systems(declared: Declared, *systems: System) -> list[Run]:
    """Return the runs of a comparison of other systems."""
    comparison, base = declared
    changed = comparison.model_copy(update={"systems": list(systems)})
    return plan_runs(changed, base)


def test_any_field_can_make_a_system(declared: Declared) -> None:
    """Of the override and nothing else: field by field."""
    ace = declared[0].system("ACE")
    wide = ace.model_copy(
        update={"name": "wide", "overrides": ("network.filters=[16, 8, 8]",
                                              "fit.epochs=5")}
    )  # fmt: skip
    plain, other = (
        run_of(with_systems(declared, ace, wide), name, 0).experiment
        for name in ("ACE", "wide")
    )
    assert other.network.filters == [16, 8, 8]
    before, after = flat(plain.model_dump()), flat(other.model_dump())
    assert {n for n in before if before[n] != after[n]} == {
        "network.filters", "fit.epochs", "run_dir"
    }  # fmt: skip


def test_systems_share_a_run_only_with_equal_overrides(
    declared: Declared,
) -> None:
    mt, mts = (declared[0].system(name) for name in ("MT", "MTs+"))
    changed = {"overrides": ("fit.epochs=5",)}
    runs = with_systems(declared, mt, mts.model_copy(update=changed))
    assert [run.systems for run in runs[:2]] == [("MT",), ("MTs+",)]
    both = (s.model_copy(update=changed) for s in (mt, mts))
    assert with_systems(declared, *both)[0].systems == ("MT", "MTs+")


def test_nothing_else_differs(declared: Declared) -> None:
    may = {
        "seed", "run_dir", "records_dir", "fit.teacher", "network.dropout",
        "predict.network", "sampling.weights.phantom_prone",
        "sampling.supervision.phantom_prone",
    }  # fmt: skip
    runs = plan_runs(*declared)
    first = flat(runs[0].experiment.model_dump())
    for run in runs[1:]:
        other = flat(run.experiment.model_dump())
        names = {n for n in first | other if first.get(n) != other.get(n)}
        assert names <= may, run.name


def test_nine_trainings_give_eleven_columns(declared: Declared) -> None:
    runs = plan_runs(*declared)
    assert [len([r for r in runs if r.seed == seed]) for seed in (0, 1)] == [
        9,
        9,
    ]
    assert len({r.name for r in runs}) == 18
    assert run_of(runs, "MTs", 1) is run_of(runs, "MTt", 1)
    assert set(run_of(runs, "MTs", 1).networks) == {"student", "teacher"}
    assert run_of(runs, "MT", 0) is run_of(runs, "MTs+", 0)
    assert {s for r in runs for s in r.systems} == set(TABLE)


def test_pseudo_labels_follow_the_run_of_their_seed(declared: Declared) -> None:
    runs = plan_runs(*declared)
    for system, source in (("PL", "SL1"), ("ACE/PL", "ACE")):
        for seed in (0, 1):
            run = run_of(runs, system, seed)
            assert run.source is run_of(runs, source, seed)
            assert run.source.name in run.experiment.records_dir
            assert runs.index(run.source) < runs.index(run)
            assert run.source_records_dir == declared[1].records_dir
    plain = [r for r in runs if r.source is None]
    assert {r.experiment.records_dir for r in plain} == {
        declared[1].records_dir
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ACE/MT", "ace_mt"), ("ACE+", "ace_plus"), ("MTs+", "mts_plus")],
)
def test_names_become_file_names(name: str, expected: str) -> None:
    assert slug(name) == expected
