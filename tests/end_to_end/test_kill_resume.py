"""Killed in every phase, started again: the same bits (benchmarks/)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import h5py
import kill_resume
import numpy as np
import pytest
import small_run
import tensorflow as tf
from killed_fit import PHASES
from shrunken import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["none", "mirrored", "multi_worker"])
def test_a_kill_in_every_phase_changes_nothing(
    tmp_path: Path, strategy: str
) -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / "kill_resume.py",
         "--kills", "4", "--strategy", strategy, "--work_dir", tmp_path],
        capture_output=True, encoding="utf-8", check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] == result["identical"] == 4
    assert result["phases"] == dict.fromkeys(PHASES, 1)
    if strategy == "multi_worker":
        assert result["others_stopped_within_seconds"] < 30


@pytest.mark.slow
def test_the_benchmark_notices_a_run_that_does_not_resume_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of another seed stands for one that did not resume exactly."""
    trial = kill_resume.Trial(tmp_path, "none")
    one, other = tmp_path / "none_reference", tmp_path / "none_killed_0"
    small_run.prepare(tmp_path)
    for run_dir, seed in ((one, 0), (other, 1)):
        more = ["fit.epochs=1", "fit.validation.max_cases=0", f"seed={seed}"]
        command = small_run.fit_command(tmp_path, run_dir, "none", more)
        small_run.finish(small_run.start(command))
        (run_dir / "validation.json").write_text("[]")
    assert trial._same(one)
    assert not trial._same(other)
    (other / "metrics.json").write_bytes((one / "metrics.json").read_bytes())
    assert not trial._same(other)


def write_run(run_dir: Path, one_bit_in: str = "") -> None:
    """What a run leaves; one number of one part differs by its last bit."""
    run_dir.mkdir()

    def value(part: str) -> np.ndarray:
        plain = np.float32(0.1)
        other = np.nextafter(plain, np.float32(1))
        return np.array([plain, other if part == one_bit_in else plain])

    for part in ("metrics", "validation"):
        text = json.dumps(value(part).astype(float).tolist())
        (run_dir / f"{part}.json").write_text(text)
    for part in ("student", "teacher"):
        with h5py.File(run_dir / f"{part}.weights.h5", "w") as file:
            file["layer/kernel"] = value(part)
    variables = {
        name: tf.Variable(value(name)) for name in ("optimizer", "dropout")
    }
    folder = run_dir / "checkpoints" / "epoch-00006"
    tf.train.Checkpoint(**variables).write(str(folder / "state"))


@pytest.mark.parametrize(
    "part",
    ["metrics", "validation", "student", "teacher", "optimizer", "dropout"],
)
def test_the_last_bit_of_any_part_is_compared(
    tmp_path: Path, part: str
) -> None:
    trial = kill_resume.Trial(tmp_path, "none")
    write_run(tmp_path / "none_reference")
    write_run(tmp_path / "equal")
    write_run(tmp_path / "other", one_bit_in=part)
    assert trial._same(tmp_path / "equal")
    assert not trial._same(tmp_path / "other")


def test_every_run_is_killed_once_in_each_phase() -> None:
    for plans in kill_resume.planned(50, seed=random.randrange(1000)):
        assert sorted(p["phase"] for p in plans) == sorted(PHASES)
        epochs = [p["epoch"] for p in plans]
        assert epochs == sorted(epochs)
        # A kill may come after its epoch's checkpoint; one epoch more, and
        # there still has to be an end of an epoch to be killed at.
        assert epochs[-1] + 1 < kill_resume.EPOCHS
