"""The same faults through the command line: exit code, message, leftovers.

In: how many. Out: a tally. Each is a class of faults that its reader refuses
in process, in a process of its own.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuzz import (
    config_faults,
    dataset_faults,
    nifti_faults,
    prediction_faults,
)
from fuzz.corpus import OUTPUT, Fault, Reader
from fuzz.judge import left_behind
from tfpartial.config import Experiment, write_resolved

# Wall clock, and Python and NumPy start first: for what never ends.
MAX_SECONDS = 600
REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[[Path], list[str]]
# Words of a command -> exit code, standard output, standard error.
Call = Callable[[list[str]], tuple[int, str, str]]


def _declared(folder: Path, **database: object) -> Path:
    """Write a config with one database; return its path."""
    declared = nifti_faults.database_of(folder).model_dump() | database
    experiment = Experiment.model_validate(
        {
            "label_space": [{"name": "liver"}, {"name": "spleen"}],
            "databases": [declared],
            "records_dir": str(folder / OUTPUT / "records"),
            "run_dir": str(folder / OUTPUT / "run"),
            "build": {"workers": 1, "splits": {"test_share": 0}},
        }
    )
    write_resolved(experiment, folder / "command.yaml")
    return folder / "command.yaml"


def _build(folder: Path) -> list[str]:
    return ["build", "--config", str(_declared(folder))]


def _build_msd(folder: Path) -> list[str]:
    path = _declared(
        folder,
        layout="msd",
        path=str(folder / "msd"),
        values={"liver": "liver", "spleen": "spleen"},
    )
    return ["build", "--config", str(path)]


def _fit(folder: Path) -> list[str]:
    return ["fit", "--config", str(folder / config_faults.EXPERIMENT)]


def _evaluate(folder: Path) -> list[str]:
    run = folder / "run"
    run.mkdir()
    experiment = prediction_faults.experiment_of(folder)
    write_resolved(experiment, run / "config.yaml")
    return ["evaluate", "--run_dir", str(run),
            "--predictions_dir", str(folder / "predictions"),
            "--out_dir", str(folder / OUTPUT)]  # fmt: skip


COMMANDS: tuple[tuple[Reader, Command, tuple[str, ...]], ...] = (
    (nifti_faults.READER, _build,
     ("truncated", "bits flipped", "wrong magic", "absurd dimensions",
      "affine not finite", "affine sheared", "spacing zero", "4D or 5D",
      "NaN voxels", "labels not whole", "gzip bomb", "affine moved")),
    (dataset_faults.READERS[1], _build_msd,
     ("truncated", "path traversal", "labels", "case listed twice")),
    (config_faults.READER, _fit,
     ("unknown key", "wrong type", "path traversal", "exploding anchors",
      "objects and tags", "deep nesting", "truncated", "recursive anchors")),
    (prediction_faults.READER, _evaluate,
     ("prediction missing", "truncated", "foreign label indices",
      "another grid", "labels not whole", "names of other labels")),
)  # fmt: skip


def in_a_process(words: list[str]) -> tuple[int, str, str]:
    """Call the command line as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "tfpartial.cli.main", *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        timeout=MAX_SECONDS,
    )
    return done.returncode, done.stdout, done.stderr


def run_commands(
    count: int, seed: int, call: Call = in_a_process
) -> dict[str, int]:
    """Run so many cases, in turn over `COMMANDS`; print what went wrong.

    Args:
        count: cases.
        seed: of their draws.
        call: runs one.

    Returns:
        {"cases", "exit_2", "other"}.
    """
    chosen = [
        (reader, command, fault)
        for reader, command, names in COMMANDS
        for fault in reader.faults
        if fault.name in names
    ]
    tally = {"cases": count, "exit_2": 0, "other": 0}
    for number in range(count):
        reader, command, fault = chosen[number % len(chosen)]
        draw = random.Random(f"{seed} command {number}")
        problem = _run(reader, command, fault, draw, call)
        tally["other" if problem else "exit_2"] += 1
        if problem:
            print(f"other: command, {reader.name}, {fault.name}: {problem}")
    return tally


def _run(
    reader: Reader,
    command: Command,
    fault: Fault,
    draw: random.Random,
    call: Call,
) -> str:
    """Run one command on one mutated folder; return what is wrong, or ""."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "inputs"
        while True:  # some draws change nothing: those are not exit code 2
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            reader.prepare(folder)
            named = fault.mutate(folder, draw)
            try:
                reader.read(folder)
            except ValueError:
                break
        shutil.rmtree(folder / OUTPUT, ignore_errors=True)
        code, out, err = call(command(folder))
        said = out + err
        # Of a build: whose folder it is, and scans that were good.
        files = set(left_behind(folder)) - {"project.json", ".build.lock"}
        half = [f for f in files if not f.endswith(".npz") or ".tmp" in f]
        if code != 2:
            return f"exit code {code}: {said[-800:]}"
        if "Traceback" in said or "error: " not in err:
            return f"no plain message: {said[-800:]}"
        if not any(name in err for name in named):
            return f"names none of {named}: {err[:800]}"
        return f"left {half}" if half else ""
