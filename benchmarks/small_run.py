"""A training of seconds with every option on: how to call it, what it left.

In: a folder to work in. Out: commands, weights, optimizer and metrics.
Everything goes through the scripts that a user calls.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from measure import worst_relative

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "configs" / "phantom.yaml"
EPOCHS, STEPS_PER_EPOCH = 4, 5
# Usually seconds: a training that takes longer waits for something.
LONGEST_SECONDS = 900.0
SPLITS = {
    "phantom_supine": {
        "train": ["supine_01", "supine_02"],
        "validation": ["supine_03"],
        "test": ["supine_04"],
    },
    "phantom_prone": {"train": ["prone_01"], "test": ["prone_02"]},
}
Tensors = dict[str, np.ndarray]


def overrides(folder: Path) -> list[str]:
    """Return what makes the shipped phantom config small and complete.

    Candidate sets, a database without information, dropout .5, rotation,
    scaling, noise and mirror, weight decay, clipping, soft Dice, L1, L2, the
    teacher with its weight above 0 from the second epoch on.
    """
    splits = folder / "splits.json"
    splits.write_text(json.dumps(SPLITS), encoding="utf-8")
    return [
        f"phantom.path={folder / 'phantom'}",
        "phantom.supine_cases=4",
        "phantom.prone_cases=2",
        "preprocess.spacing_mm=[10, 10, 10]",
        f"build.splits.file={splits}",
        f"records_dir={folder / 'records'}",
        "sampling.supervision.phantom_prone=unlabelled",
        "augment.rotation_degrees=10",
        "augment.scale_range=0.1",
        "network.filters=[4, 8]",
        "network.dropout=[0.5, 0.5]",
        f"fit.epochs={EPOCHS}",
        f"fit.steps_per_epoch={STEPS_PER_EPOCH}",
        "fit.patch_shape=[16, 16, 16]",
        "fit.consistency.ramp_start=0",
        "fit.consistency.ramp_end=0.5",
        "fit.optimizer.weight_decay=0.01",
        "fit.optimizer.clip_norm=0.5",
        "fit.soft_dice=0.5",
        "fit.l1=1e-5",
        "fit.l2=1e-4",
        "fit.validation.every_epochs=1",
        "predict.window_shape=[16, 16, 16]",
    ]


def layout(strategy: str) -> list[str]:
    """Return the overrides of a strategy: mirrored is on two CPU devices."""
    return ["fit.devices=[CPU:0, CPU:1]"] if strategy == "mirrored" else []


def prepare(folder: Path) -> None:
    """Make the built-in scans and their records, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--config", str(CONFIG), *overrides(folder)]
    for script in ("make_phantom", "build_tfrecords"):
        subprocess.run(
            [sys.executable, REPOSITORY / "scripts" / f"{script}.py",
             *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip


def fit_arguments(
    folder: Path, run_dir: Path, strategy: str, more: Sequence[str] = ()
) -> list[str]:
    """Return the flags and overrides of `fit`."""
    return [
        "--config", str(CONFIG), "--strategy", strategy,
        "--run_dir", str(run_dir), *overrides(folder), *layout(strategy),
        *more,
    ]  # fmt: skip


def fit_command(
    folder: Path, run_dir: Path, strategy: str, more: Sequence[str] = ()
) -> list[str]:
    """Return the command line of `fit`."""
    script = str(REPOSITORY / "scripts" / "fit.py")
    return [sys.executable, script,
            *fit_arguments(folder, run_dir, strategy, more)]  # fmt: skip


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in the repository; its output is one stream."""
    return subprocess.Popen(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=os.environ | dict(environment or {}),
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Return what a process printed, once it has ended with success.

    Raises:
        RuntimeError: it failed, or has not ended after 15 minutes and was
            killed; with what it printed.
    """
    try:
        printed, _ = process.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        raise RuntimeError(
            f"no end after {LONGEST_SECONDS:g} s:\n{printed}"
        ) from None
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}:\n{printed}")
    return printed


def worker_environments(count: int) -> list[dict[str, str]]:
    """Return TF_CONFIG of each process of a cluster on this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for each in sockets:
        each.close()
    return [
        {
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": workers},
                    "task": {"type": "worker", "index": index},
                }
            )
        }
        for index in range(count)
    ]


def weights(run_dir: Path, kind: str) -> Tensors:
    """Return the weights of "student" or "teacher" by their place."""
    found: Tensors = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(run_dir / f"{kind}.weights.h5") as file:
        file.visititems(collect)
    return found


def relative_difference(expected: Tensors, found: Tensors) -> float:
    """Return the largest over tensors of max|difference| / max|expected|."""
    if expected.keys() != found.keys():
        raise ValueError("expected the same tensors in both runs")
    return worst_relative(
        (value, found[name]) for name, value in expected.items()
    )


def checkpoint(run_dir: Path) -> Tensors:
    """Return every tensor of the newest checkpoint: the optimizer's too."""
    import tensorflow as tf

    newest = max((run_dir / "checkpoints").glob("epoch-*"))
    reader = tf.train.load_checkpoint(str(newest / "state"))
    return {
        name: np.asarray(reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"  # names, not numbers
    }


def same_bits(one: Tensors, other: Tensors) -> bool:
    """Return whether two sets of tensors are equal to the last bit."""
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype
        and value.tobytes() == other[name].tobytes()
        for name, value in one.items()
    )
