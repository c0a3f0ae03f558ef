"""The same model whatever the layout: none, two replicas, two processes.

    python benchmarks/invariance.py [--normalization batch] [--work_dir DIR]

Trains the same 20 steps in each layout, with every option on
(`small_run.overrides`), and prints per network the largest difference to the
run on one device: max over tensors of max|difference| / max|weight|. Ends
with code 1 when a difference is above 1e-5, and with an error when a layout
was not what it says, an option was off, or no replica was ever without a
counted voxel: then the numbers would say nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import small_run

TOLERANCE = 1e-5
# Scores of whole scans are not compared here.
LAYOUT_STEPS = ["fit.validation.max_cases=0"]
REPLICAS = {"none": 1, "mirrored": 2, "multi_worker": 2}
# What metrics.json shows of an option that is on.
AT_WORK = (
    "loss/supervised",
    "loss/consistency",
    "loss/soft_dice",
    "loss/weight_penalty",
    "schedule/consistency_weight",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--normalization", default="group",
                        choices=("group", "instance", "batch"))  # fmt: skip
    parser.add_argument("--work_dir", type=Path, help="default: a temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work_dir or Path(temporary)
        rows = measure(folder.resolve(), arguments.normalization)
        empty = steps_without_information(folder.resolve())
    if not empty:
        raise RuntimeError("no replica was ever without a counted voxel")
    steps = small_run.EPOCHS * small_run.STEPS_PER_EPOCH
    print(f"{'layout':<28}{'student':>10}{'teacher':>10}   after {steps} steps")
    for name, differences in rows.items():
        print(f"{name:<28}" + "".join(f"{d:>10.1e}" for d in differences))
    worst = max(max(differences) for differences in rows.values())
    result = {
        "normalization": arguments.normalization,
        "layouts": 1 + len(rows),
        "steps": steps,
        "steps_in_which_a_replica_counts_nothing": empty,
        "largest_difference": worst,
        "tolerance": TOLERANCE,
    }
    print(json.dumps(result))
    return int(worst > TOLERANCE)


def measure(
    folder: Path, normalization: str = "group"
) -> dict[str, tuple[float, float]]:
    """Train in every layout; return the differences to one device."""
    small_run.prepare(folder)
    one = train(folder, "none", 1, normalization)
    mirrored = train(folder, "mirrored", 1, normalization)
    workers = train(folder, "multi_worker", 2, normalization)
    return {
        "mirrored, 2 replicas": compare(one, mirrored),
        "multi_worker, 2 processes": compare(one, workers),
    }


def train(
    folder: Path, strategy: str, processes: int, normalization: str
) -> Path:
    """Train from the beginning; return the run directory."""
    run_dir = folder / f"invariance_{normalization}_{strategy}"
    # What an earlier call left was trained by the code of that time.
    shutil.rmtree(run_dir, ignore_errors=True)
    more = [*LAYOUT_STEPS, f"network.normalization={normalization}"]
    command = small_run.fit_command(folder, run_dir, strategy, more)
    environments = (
        small_run.worker_environments(processes)
        if strategy == "multi_worker"
        else [{}]
    )
    started = [small_run.start(command, e) for e in environments]
    for process in started:
        small_run.finish(process)
    check_layout(run_dir, strategy)
    return run_dir


def check_layout(run_dir: Path, strategy: str) -> None:
    """Check that a run had the replicas and the options that it stands for.

    Raises:
        RuntimeError: it had not; its difference would mean nothing.
    """
    about = json.loads((run_dir / "run.json").read_text("utf-8"))
    if about["replicas"] != REPLICAS[strategy]:
        raise RuntimeError(
            f"{strategy}: expected {REPLICAS[strategy]} replicas, found "
            f"{about['replicas']}"
        )
    *_, last = json.loads((run_dir / "metrics.json").read_text("utf-8"))
    off = [name for name in AT_WORK if not last[name] or last[name] <= 0]
    if off:
        raise RuntimeError(f"{strategy}: not at work: {', '.join(off)}")


def steps_without_information(folder: Path) -> int:
    """Count the steps in which a row's database is unlabelled.

    With two replicas of one row each, that replica counts no voxel.
    """
    from tfpartial.config import load_experiment
    from tfpartial.data.patches import PatchSampler
    from tfpartial.training.fit import open_stores

    overrides = small_run.overrides(folder)
    experiment = load_experiment(small_run.CONFIG, overrides)
    sampling = experiment.sampling
    sampler = PatchSampler(
        open_stores(experiment),
        supervision=sampling.supervision,
        weights=sampling.weights,
        label_share=sampling.label_share,
        patch_shape=experiment.fit.patch_shape,
        seed=experiment.seed,
        balance=sampling.balance,
    )
    kinds = [
        {
            sampling.supervision.get(sampler.draw(step, row).database)
            for row in range(experiment.fit.global_batch_size)
        }
        for step in range(small_run.EPOCHS * small_run.STEPS_PER_EPOCH)
    ]
    return sum("unlabelled" in kind and len(kind) > 1 for kind in kinds)


def compare(one: Path, other: Path) -> tuple[float, float]:
    """Return the differences of student and teacher."""
    student, teacher = (
        small_run.relative_difference(
            small_run.weights(one, kind), small_run.weights(other, kind)
        )
        for kind in ("student", "teacher")
    )
    return student, teacher


if __name__ == "__main__":
    sys.exit(main())
