"""The commands of a run: each setting reaches the stage that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.comparison.commands import commands_of
from tfpartial.comparison.runs import plan_runs, run_of
from tfpartial.comparison.table import _chosen
from tfpartial.config import Experiment
from tfpartial.config.comparison import Comparison
from tfpartial.errors import InputError

Declared = tuple[Comparison, Experiment]


def stages(declared: Declared, system: str) -> dict[str, list[str]]:
    run = run_of(plan_runs(*declared), system, 0)
    return dict(commands_of(run, declared[0], Path("c.yaml")))


def test_stages_in_order(declared: Declared) -> None:
    assert list(stages(declared, "ACE")) == [
        "fit", "predict student", "evaluate student"
    ]  # fmt: skip
    assert list(stages(declared, "PL"))[:2] == ["pseudo-label", "fit"]
    assert list(stages(declared, "MTt"))[1::2] == [
        "predict student", "predict teacher"
    ] or list(stages(declared, "MTt"))[1::2] == [
        "predict teacher", "predict student"
    ]  # fmt: skip


def test_settings_of_use_do_not_stay_those_of_the_first_call(
    declared: Declared,
) -> None:
    """A run keeps its config.yaml; what it is used with comes as overrides."""
    comparison, base = declared
    predict = base.predict.model_copy(update={"overlap": 0.75})
    evaluate = base.evaluate.model_copy(update={"tolerance_mm": 3.0})
    changed = base.model_copy(update={"predict": predict, "evaluate": evaluate})
    found = stages((comparison, changed), "PL")
    for stage in ("pseudo-label", "predict student", "evaluate student"):
        assert "predict.overlap=0.75" in found[stage]
        assert "predict.window_shape=null" in found[stage]
    assert "evaluate.tolerance_mm=3.0" in found["evaluate student"]
    assert found["predict student"][-1] == "predict.network=student"


def test_pseudo_labels_come_from_the_network_of_their_system(
    declared: Declared,
) -> None:
    comparison, base = declared
    for source, network in (("MTs", "student"), ("MTt", "teacher")):
        systems = [
            s.model_copy(update={"pseudo_labels_of": source})
            if s.name == "PL"
            else s
            for s in comparison.systems
        ]
        changed = comparison.model_copy(update={"systems": systems})
        command = stages((changed, base), "PL")["pseudo-label"]
        assert command[-1] == f"predict.network={network}"


def test_a_run_brings_the_one_it_needs(declared: Declared) -> None:
    runs = plan_runs(*declared)
    names = [run.name for run in _chosen(runs, ["pl_seed1"])]
    assert names == ["sl1_seed1", "pl_seed1"]
    assert _chosen(runs, []) == runs
    with pytest.raises(InputError, match="Did you mean 'pl_seed1'"):
        _chosen(runs, ["pl_sed1"])
