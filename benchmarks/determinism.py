"""Twice the same run: the same bits? And what does that cost?

    python benchmarks/determinism.py [--repeats 5] [--work_dir DIR]

Trains the same run twice with fit.deterministic=true and twice with false,
and compares weights and optimizer bit for bit. Then times the steps of a
larger network, alternating between the two, each repeat in a process of its
own: the cost is the ratio of the medians over the repeats of the median step.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import small_run
from killed_fit import run_undisturbed

LARGER = [
    "network.filters=[16, 32]",
    "fit.patch_shape=[32, 32, 24]",
    "fit.epochs=1",
    "fit.steps_per_epoch=30",
    "fit.validation.max_cases=0",
]
SHORT = ["fit.epochs=2", "fit.validation.max_cases=0"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--strategy", default="mirrored",
                        choices=("none", "mirrored"))  # fmt: skip
    parser.add_argument("--work_dir", type=Path, help="default: a temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.work_dir or Path(temporary)).resolve()
        small_run.prepare(folder)
        same = {
            value: twice_the_same(folder, arguments.strategy, value)
            for value in (True, False)
        }
        seconds = step_seconds(folder, arguments.strategy, arguments.repeats)
    with_it, without = (statistics.median(seconds[v]) for v in (True, False))
    result = {
        "strategy": arguments.strategy,
        "identical_with": same[True],
        "identical_without": same[False],
        "repeats": arguments.repeats,
        "step_seconds_with": with_it,
        "step_seconds_without": without,
        "cost": with_it / without,
    }
    print(json.dumps(result))
    return int(not same[True])


def option(deterministic: bool) -> str:
    """Return the override."""
    return f"fit.deterministic={str(deterministic).lower()}"


def twice_the_same(folder: Path, strategy: str, deterministic: bool) -> bool:
    """Train twice; return whether every bit agrees."""
    runs = []
    for number in range(2):
        run_dir = folder / f"twice_{deterministic}_{number}"
        shutil.rmtree(run_dir, ignore_errors=True)
        command = small_run.fit_command(
            folder, run_dir, strategy, [*SHORT, option(deterministic)]
        )
        small_run.finish(small_run.start(command))
        runs.append(run_dir)
    parts = [
        {k: small_run.weights(d, k) for k in ("student", "teacher")}
        | {"checkpoint": small_run.checkpoint(d)}
        for d in runs
    ]
    return all(
        small_run.same_bits(parts[0][kind], parts[1][kind]) for kind in parts[0]
    )


def step_seconds(
    folder: Path, strategy: str, repeats: int
) -> dict[bool, list[float]]:
    """Return the median step of each repeat, with and without."""
    found: dict[bool, list[float]] = {True: [], False: []}
    run_dir = folder / "timed"
    for _ in range(repeats):
        for value in (True, False):
            shutil.rmtree(run_dir, ignore_errors=True)
            more = [*LARGER, option(value)]
            arguments = small_run.fit_arguments(folder, run_dir, strategy, more)
            usual = run_undisturbed(folder / "timed.json", arguments)
            found[value].append(usual["step"])
    return found


if __name__ == "__main__":
    sys.exit(main())
