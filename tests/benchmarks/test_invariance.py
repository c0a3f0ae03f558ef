"""benchmarks/invariance.py: a comparison of nothing is an error."""

from __future__ import annotations

import json
from pathlib import Path

import invariance
import pytest


def write_run(run_dir: Path, replicas: int = 2, **logged: float | None) -> None:
    """What a run says about its layout, and the last epoch of its metrics."""
    (run_dir / "run.json").write_text(json.dumps({"replicas": replicas}))
    entry = dict.fromkeys(invariance.AT_WORK, 0.5) | logged
    (run_dir / "metrics.json").write_text(json.dumps([{}, entry]))


def test_two_replicas_with_every_option_are_accepted(tmp_path: Path) -> None:
    write_run(tmp_path)
    invariance.check_layout(tmp_path, "mirrored")
    invariance.check_layout(tmp_path, "multi_worker")


def test_a_layout_that_had_one_replica_is_an_error(tmp_path: Path) -> None:
    write_run(tmp_path, replicas=1)
    invariance.check_layout(tmp_path, "none")
    with pytest.raises(RuntimeError, match="expected 2 replicas, found 1"):
        invariance.check_layout(tmp_path, "mirrored")


@pytest.mark.parametrize("name", invariance.AT_WORK)
@pytest.mark.parametrize("value", [0.0, None])
def test_an_option_that_did_nothing_is_an_error(
    tmp_path: Path, name: str, value: float | None
) -> None:
    write_run(tmp_path, **{name: value})
    with pytest.raises(RuntimeError, match=f"not at work: {name}"):
        invariance.check_layout(tmp_path, "mirrored")
