"""The commands of a run: each setting reaches the stage that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.comparison.compare import _choose_runs
from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import plan_runs, run_of
from tfpartial.comparison.run.commands import commands_of
from tfpartial.config import Experiment
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


def after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_each_stage_is_told_what_the_comparison_declares(
    declared: Declared,
) -> None:
    comparison, base = declared
    changed = comparison.model_copy(
        update={"split": "validation", "strategy": "none"}
    )
    run = run_of(plan_runs(changed, base), "PL", 1)
    found = dict(commands_of(run, changed, Path("c.yaml")))
    label = found["pseudo-label"]
    assert after(label, "--run_dir").endswith("runs/sl1_seed1")
    assert after(label, "--databases") == "phantom_prone"
    assert f"records_dir={base.records_dir}" in label
    assert after(label, "--target_records_dir") == run.experiment.records_dir
    assert after(found["fit"], "--strategy") == "none"
    for stage in ("predict student", "evaluate student"):
        assert after(found[stage], "--split") == "validation"
        start = found[stage].index("--databases") + 1
        assert found[stage][start : start + 2] == [
            "phantom_supine",
            "phantom_prone",
        ]
    both = stages(declared, "MTt")
    for stage in ("predict teacher", "evaluate teacher"):
        assert both[stage][-1] == "predict.network=teacher"
        folder = after(both[stage], "--predictions_dir")
        assert folder.endswith("predictions/teacher")


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
    names = [run.name for run in _choose_runs(runs, ["pl_seed1"])]
    assert names == ["sl1_seed1", "pl_seed1"]
    assert _choose_runs(runs, []) == runs
    with pytest.raises(InputError, match="Did you mean 'pl_seed1'"):
        _choose_runs(runs, ["pl_sed1"])
