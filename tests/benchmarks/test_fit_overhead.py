"""The benchmark of fit around its step: a run at toy size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fit_overhead.py"


@pytest.mark.slow
def test_quick_run() -> None:
    # A process of its own: determinism can be chosen only once.
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"],
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("\n") == 1
    line = json.loads(done.stdout)
    assert [(t["what"].split(",")[0], t["limit"]) for t in line["targets"]] == [
        ("time per step", 1.10),
        ("share of a step waiting for data", 0.02),
    ]
    for side in ("fit", "bare"):
        assert line["sides"][side]["repeats"] == 2
        assert line["sides"][side]["median_s"] > 0
    assert line["checked"]["weights after the same steps"] < 1e-5
    assert line["end_of_epoch_s"] > 0  # checkpoints and TensorBoard
