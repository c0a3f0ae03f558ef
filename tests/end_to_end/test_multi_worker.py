"""Two processes on loopback train the same network as one, or say why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import small_run
from command_line import verb
from shrunken import CONFIG, REPOSITORY, overrides

pytestmark = pytest.mark.slow


def test_every_layout_is_the_same_model(tmp_path: Path) -> None:
    """One device, two replicas, two processes: 20 steps, every option on."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / "invariance.py",
         "--work_dir", tmp_path],
        capture_output=True, encoding="utf-8", check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["layouts"], result["steps"]) == (3, 20)
    assert result["steps_in_which_a_replica_counts_nothing"] > 3
    assert 0 < result["largest_difference"] < 1e-5


def test_workers_that_differ_are_refused(workspace: Path) -> None:
    run_dir = workspace / "differing"
    processes = [
        small_run.start(
            [sys.executable, str(REPOSITORY / "scripts" / "fit.py"),
             "--config", str(CONFIG), "--strategy", "multi_worker",
             "--run_dir", str(run_dir), *overrides(workspace),
             f"fit.l2={index}"],
            environment,
        )
        for index, environment in enumerate(small_run.worker_environments(2))
    ]  # fmt: skip
    printed = [process.communicate(timeout=500)[0] for process in processes]
    assert {p.returncode for p in processes} <= {2, 3}, printed
    told = [text for text in printed if "the workers differ in" in text]
    assert told, printed
    assert "the config" in told[0]
    assert "Traceback" not in "".join(printed)
    assert not [*run_dir.rglob("epoch-*")]


def test_without_tf_config_is_exit_code_2(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", "")
    text = verb("fit", "--config", CONFIG, "--strategy", "multi_worker",
                "--run_dir", workspace / "x", *overrides(workspace),
                expect=2)  # fmt: skip
    assert "TF_CONFIG" in text
