"""The benchmark on accelerators: toy size on a CPU, and without anything."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import gpu_step
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_step.py"


def run(*arguments: str, before: str = "") -> dict:
    """Return the printed line of a run that ends well."""
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); {before}"
        f"import gpu_step; code = gpu_step.main({list(arguments)!r}); "
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, encoding="utf-8", check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("missing", ["jax", "torch"])
def test_what_is_not_installed_is_said(missing: str) -> None:
    hide = (
        "import importlib.util as u; find = u.find_spec; "
        f"u.find_spec = lambda n: None if n == {missing!r} else find(n) or 1; "
    )
    line = run(before=hide)
    assert line["skipped"] == f"{missing} is not installed"
    assert line["targets"] == []


def test_no_accelerator_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(gpu_step, "device_calls", cpu_calls)
    assert gpu_step.main([]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == "no accelerator"


def cpu_calls() -> dict:
    return {"platform": platform}


def platform() -> str:
    return "cpu"


def test_sizes_of_the_networks_agree() -> None:
    deepmedic = gpu_step.CASES["deepmedic"]
    assert deepmedic.image - deepmedic.output == 2 * 5 * 8
    # The first pathway sees 37^3 of its segment.
    assert deepmedic.output + 2 * 8 == 37


@pytest.mark.slow
def test_quick_run_on_a_cpu() -> None:
    for package in ("jax", "torch"):
        pytest.importorskip(package)
    line = run("--quick")
    said = " ".join(target["what"] for target in line["targets"])
    for case in ("unet3d", "deepmedic"):
        for precision in ("float32", "bfloat16"):
            assert f"JAX / PyTorch, {case}, {precision}" in said
            assert line["checked"][f"loss, {case}, {precision}"] < 0.01
        # After the first step the teacher is the student.
        assert line["checked"][f"teacher after one step, {case}, float32"] == 0
