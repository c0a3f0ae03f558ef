"""Runs: skipped when finished, failing alone, resumed, never twice at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run, plan_runs, run_of
from tfpartial.comparison.run import runner as runner_module
from tfpartial.comparison.run.journal import (
    FINISHED_FILE,
    JOURNAL_FILE,
    is_finished,
    open_journal,
    training_key,
)
from tfpartial.comparison.run.runner import (
    OTHERS,
    Runner,
    folder_lock,
    share_cores,
)
from tfpartial.config import Experiment
from tfpartial.errors import InputError

Declared = tuple[Comparison, Experiment]
PROGRAM = """
import os, sys
with open(sys.argv[1], "a") as file:
    print(sys.argv[2], len(os.sched_getaffinity(0)), file=file)
for folder in sys.argv[3].split(","):
    os.makedirs(folder, exist_ok=True)
    for name in ("scores.csv", "evaluation.json"):
        open(os.path.join(folder, name), "w").close()
if sys.argv[2] in sys.argv[4:]:
    print("error: no such luck", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict:
    """Replace the commands of a run by one that notes its name."""
    state = {"notes": tmp_path / "notes", "failing": []}

    def commands(run: Run, comparison: Comparison, config: Path) -> Iterator:
        assert config.is_file()
        folders = ",".join(str(run.predictions(n)) for n in run.networks)
        yield "fit", [sys.executable, "-c", PROGRAM, str(state["notes"]),
                      run.name, folders, *state["failing"]]  # fmt: skip

    monkeypatch.setattr(runner_module, "commands_of", commands)
    return state


def noted(state: dict) -> list[str]:
    if not state["notes"].exists():
        return []
    return [line.split()[0] for line in state["notes"].read_text().splitlines()]


def make(declared: Declared, jobs: int = 1) -> Runner:
    return Runner(declared[0], plan_runs(*declared), jobs)


def test_every_run_is_done_once_and_sources_first(
    declared: Declared, fake: dict
) -> None:
    assert make(declared, jobs=3).run() == {}
    names = noted(fake)
    assert sorted(names) == sorted(r.name for r in plan_runs(*declared))
    assert names.index("sl1_seed1") < names.index("pl_seed1")
    assert make(declared).run() == {}
    assert noted(fake) == names  # nothing was done again


def test_seeds_become_complete_one_after_the_other(
    declared: Declared, fake: dict
) -> None:
    make(declared).run()
    assert noted(fake) == [run.name for run in plan_runs(*declared)]
    assert noted(fake)[:9] == [n for n in noted(fake) if n.endswith("_seed0")]


def test_a_failed_run_stops_only_who_needs_it(
    declared: Declared, fake: dict
) -> None:
    fake["failing"] = ["ace_seed0"]
    failed = make(declared).run()
    assert set(failed) == {"ace_seed0", "ace_pl_seed0"}
    assert "no such luck" in failed["ace_seed0"]
    assert "needs ace_seed0" in failed["ace_pl_seed0"]
    assert len(noted(fake)) == 17  # all others, and the failing attempt
    fake["failing"] = []
    fake["notes"].unlink()
    assert make(declared).run() == {}
    assert noted(fake) == ["ace_seed0", "ace_pl_seed0"]


def refit(base: Experiment, **fields: object) -> Experiment:
    return base.model_copy(update={"fit": base.fit.model_copy(update=fields)})


def test_trained_runs_of_other_settings_are_refused_before_anything(
    declared: Declared, fake: dict
) -> None:
    make(declared).run()
    comparison, base = declared
    changed = plan_runs(comparison, refit(base, epochs=2))
    for run in changed[2:]:
        shutil.rmtree(run.folder)
    before = (changed[0].folder / FINISHED_FILE).read_bytes()
    with pytest.raises(InputError, match="found one of others") as caught:
        Runner(comparison, changed)
    assert len(caught.value.faults) == 2
    assert (changed[0].folder / FINISHED_FILE).read_bytes() == before


def test_another_evaluation_keeps_the_training_and_its_cost(
    declared: Declared, fake: dict
) -> None:
    make(declared).run()
    comparison, base = declared
    options = base.predict.model_copy(update={"overlap": 0.75})
    changed = base.model_copy(update={"predict": options})
    run = plan_runs(comparison, changed)[0]
    assert not is_finished(comparison, run)
    assert open_journal(run).seconds["fit"] > 0
    elsewhere = comparison.model_copy(update={"split": "validation"})
    assert not is_finished(elsewhere, plan_runs(*declared)[0])
    workers = base.evaluate.model_copy(update={"workers": 7})
    same = base.model_copy(update={"evaluate": workers})
    assert is_finished(comparison, plan_runs(comparison, same)[0])


def test_scores_that_were_changed_are_made_again(
    declared: Declared, fake: dict, caplog: pytest.LogCaptureFixture
) -> None:
    make(declared).run()
    run = plan_runs(*declared)[0]
    fake["notes"].unlink()
    scores = run.predictions("student") / "scores.csv"
    scores.write_text("better ones")
    caplog.clear()
    assert not is_finished(declared[0], run)  # tables leave it out: they say so
    assert str(scores) in caplog.text
    make(declared).run()
    assert noted(fake) == [run.name]
    assert is_finished(declared[0], run)


def test_the_seconds_of_a_killed_training_are_not_known(
    declared: Declared,
) -> None:
    run = plan_runs(*declared)[0]
    open_journal(run).begin("fit", run)  # and killed
    journal = open_journal(run)
    assert journal.seconds == {"fit": None}  # not a number that is too small
    journal.end("fit", 2.0, run)
    assert open_journal(run).seconds == {"fit": None}
    # A training that had ended keeps its seconds, all its attempts together.
    other = plan_runs(*declared)[1]
    for seconds in (1.5, 0.5):  # the first failed
        open_journal(other).end("fit", seconds, other)
    assert open_journal(other).seconds == {"fit": 2.0}
    open_journal(other).begin("predict student", other)
    assert open_journal(other).seconds == {"fit": 2.0, "predict student": None}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"seconds": 3}',
        "[" * 100_000,
        '{"seconds": {"fit": "long"}}',
        '{"seconds": {"fit": -1}}',
    ],
)
def test_a_journal_that_cannot_be_read_knows_no_cost(
    declared: Declared, text: str
) -> None:
    run = plan_runs(*declared)[0]
    assert open_journal(run).seconds == {}
    run.folder.mkdir(parents=True)
    (run.folder / JOURNAL_FILE).write_text(text)
    assert open_journal(run).seconds == {"fit": None}


def test_missing_records_are_a_message(declared: Declared, fake: dict) -> None:
    make(declared).run()
    shutil.rmtree(declared[1].records_dir)
    with pytest.raises(InputError, match="expected records, found none"):
        make(declared)


def test_one_broken_thread_does_not_stop_the_others(
    declared: Declared,
    fake: dict,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = runner_module.write_resolved

    def full_disk(experiment: Experiment, path: Path) -> None:
        if path.name == "ace_seed0.yaml":
            raise OSError(28, os.strerror(28))
        write(experiment, path)

    monkeypatch.setattr(runner_module, "write_resolved", full_disk)
    failed = make(declared).run()
    assert set(failed) == {"ace_seed0", "ace_pl_seed0"}
    assert "expected space to write" in failed["ace_seed0"]
    assert "Traceback" not in caplog.text
    assert len(noted(fake)) == 16  # all others


def test_the_reason_is_that_of_the_last_attempt(
    declared: Declared, fake: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake["failing"] = ["sl1_seed0"]
    assert "exit code 2" in make(declared).run()["sl1_seed0"]

    def killed(run: Run, *_: object) -> Iterator:
        yield "fit", [sys.executable, "-c",
                      "import os; os.kill(os.getpid(), 9)"]  # fmt: skip

    monkeypatch.setattr(runner_module, "commands_of", killed)
    reason = make(declared).run()["sl1_seed0"]
    assert "signal 9" in reason
    assert "no such luck" not in reason


def test_seconds_and_logs_are_kept(declared: Declared, fake: dict) -> None:
    make(declared).run()
    run = plan_runs(*declared)[0]
    content = json.loads((run.folder / JOURNAL_FILE).read_text("utf-8"))
    assert content["seconds"]["fit"] > 0
    log = Path(declared[0].output_dir) / "logs" / f"{run.name}.log"
    assert log.read_text(encoding="utf-8").lstrip().startswith("$ ")


def test_pseudo_labels_of_another_run_are_another_training(
    declared: Declared,
) -> None:
    runs = plan_runs(*declared)
    run = run_of(runs, "PL", 0)
    key = training_key(run)
    source = run_of(runs, "ACE", 0)  # all else, and the network, is the same
    assert training_key(replace(run, source=source)) != key
    assert training_key(replace(run, source_network="teacher")) != key
    # Other windows, other pseudo-labels; SL1's own weights are the same.
    comparison, base = declared
    options = base.predict.model_copy(update={"overlap": 0.75})
    changed = base.model_copy(update={"predict": options})
    others = plan_runs(comparison, changed)
    assert training_key(run_of(others, "PL", 0)) != key
    plain = training_key(run_of(runs, "SL1", 0))
    assert training_key(run_of(others, "SL1", 0)) == plain


def test_other_records_are_another_training(declared: Declared) -> None:
    runs = plan_runs(*declared)
    before = {name: training_key(run_of(runs, name, 0))
              for name in ("SL1", "ACE")}  # fmt: skip
    records = Path(declared[1].records_dir)
    (records / "phantom_prone/1.0.0/cases.json").write_text('{"new": 1}')
    after = {name: training_key(run_of(runs, name, 0)) for name in before}
    assert after["ACE"] != before["ACE"]
    assert after["SL1"] == before["SL1"]  # which does not see this database


def test_two_calls_do_not_share_a_folder(
    declared: Declared, fake: dict
) -> None:
    folder = Path(declared[0].output_dir)
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another call"):
            make(declared).run()
    assert noted(fake) == []


def test_cores_are_shared_out(declared: Declared, fake: dict) -> None:
    assert share_cores([0, 1, 2, 3, 4], 2) == [{0, 2, 4}, {1, 3}]
    assert share_cores([0, 1], 3) == [{0, 1}] * 3
    make(declared, jobs=2).run()
    counts = {int(line.split()[1]) for line in
              fake["notes"].read_text().splitlines()}  # fmt: skip
    available = len(os.sched_getaffinity(0))
    assert counts <= {available // 2, -(-available // 2)} or available == 1


SLEEPING = """
import sys
from tfpartial.comparison.run import runner
from tfpartial.comparison.plan import plan_runs
from tfpartial.comparison.load import load_comparison

def commands(run, comparison, config):
    yield "fit", [sys.executable, "-c",
                  "import os, time; print(os.getpid(), flush=True);"
                  "time.sleep(100)"]

runner.commands_of = commands
comparison, base = load_comparison(sys.argv[1], sys.argv[2:])
runner.Runner(comparison, plan_runs(comparison, base), 2).run()
"""


def begun_call(
    declared: Declared, tmp_path: Path
) -> tuple[subprocess.Popen, list[int]]:
    """Begin a call in a process of its own; return it and its two children."""
    comparison, base = declared
    call = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, str(tmp_path / "comparison.yaml"),
         f"experiment.records_dir={base.records_dir}"]
    )  # fmt: skip
    logs = Path(comparison.output_dir) / "logs"
    children: list[int] = []
    deadline = time.monotonic() + 60
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        lines = [x for f in logs.glob("*.log") for x in f.read_text().split()]
        children = [int(line) for line in lines if line.isdecimal()]
    assert len(children) == 2
    return call, children


def test_ending_the_call_ends_its_trainings(
    declared: Declared, tmp_path: Path
) -> None:
    call, children = begun_call(declared, tmp_path)
    call.terminate()
    assert call.wait(timeout=30) == 143
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_what_a_killed_call_left_running_keeps_the_folder(
    declared: Declared, tmp_path: Path
) -> None:
    """Else two trainings would write the same checkpoints."""
    call, children = begun_call(declared, tmp_path)
    call.kill()
    call.wait(timeout=30)
    folder = Path(declared[0].output_dir)
    try:
        with (
            pytest.raises(InputError, match="left running"),
            folder_lock(folder, OTHERS),
        ):
            pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # until the last of them has gone
        try:
            with folder_lock(folder, OTHERS):
                return
        except InputError:
            time.sleep(0.1)
    raise AssertionError("the lock outlived who held it")
