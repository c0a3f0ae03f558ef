"""benchmarks/scaling.py: its fit; at toy size its checks, line and targets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import scaling


def test_an_exponent_is_the_power_of_the_size() -> None:
    sizes = (2, 5, 10, 100)
    assert scaling.exponent({n: 3.0 for n in sizes}) == pytest.approx(0)
    assert scaling.exponent({n: 3.0 * n**1.5 for n in sizes}) == pytest.approx(
        1.5
    )


@pytest.mark.slow
def test_one_line_with_every_exponent() -> None:
    # A process of its own: of two trainings with two replicas in one process
    # the collective operations may meet.
    done = subprocess.run(
        [sys.executable, scaling.__file__, "--quick"],
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["checked"]["loss"] <= scaling.LOSS_TOLERANCE
    assert line["checked"]["replicas"] <= scaling.STEP_TOLERANCE
    found = {t["what"]: t for t in line["targets"]}
    fitted = [w for w in found if w.startswith("exponent: ")]
    assert [w.split("number of ")[-1].split("over ")[-1] for w in fitted] == [
        "scans", "databases", "scans", "labels", "its voxels", "its voxels",
    ]  # fmt: skip
    assert [found[w]["limit"] for w in fitted] == [0.1] * 3 + [1.1] * 3
    memory = found["exponent: memory over the number of scans"]
    costs = line["costs"]["memory of a process"]
    assert memory["value"] == pytest.approx(
        scaling.exponent({int(n): cost for n, cost in costs.items()})
    )
    assert any("two replicas / one" in what for what in found)
    assert any("ns per voxel and label" in what for what in found)
