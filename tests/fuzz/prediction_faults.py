"""A folder of predictions, scored as the evaluation scores it."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import dataset_faults, nifti_faults
from fuzz.corpus import (
    OUTPUT,
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from tfpartial.config import Experiment
from tfpartial.evaluation.evaluate import evaluate_predictions
from tfpartial.scans import Volume, write_volume

CASES = ("ben_1", "carla_1")
NAMES = {0: "background", 1: "liver", 2: "spleen"}


def prepare(folder: Path) -> None:
    """Write a database and a prediction of each of its test cases."""
    dataset_faults.prepare(folder)
    splits = {"clinic": {"train": ["anna_1"], "test": list(CASES)}}
    (folder / "splits.json").write_text(json.dumps(splits))
    labels = np.roll(nifti_faults.voxels()[1], 1, axis=0)
    for case in CASES:
        _write(folder, case, labels, nifti_faults.AFFINE)


def _write(
    folder: Path, case: str, labels: np.ndarray, affine: np.ndarray
) -> None:
    path = folder / "predictions" / "clinic" / f"{case}.nii.gz"
    write_volume(path, Volume(labels, affine), NAMES)


def experiment_of(folder: Path) -> Experiment:
    """Declare the database."""
    return Experiment.model_validate(
        {
            "label_space": [{"name": "liver"}, {"name": "spleen"}],
            "databases": [
                {
                    "name": "clinic",
                    "layout": "nnunet_raw",
                    "path": str(folder / "nnunet_raw"),
                    "values": {"liver": "liver", "spleen": "spleen"},
                    "licence": "none",
                    "citation": "none",
                }
            ],
            "records_dir": str(folder / OUTPUT / "records"),
            "run_dir": str(folder / "run"),
            "build": {"splits": {"file": str(folder / "splits.json")}},
            "evaluate": {"workers": 1},
        }
    )


def read(folder: Path) -> Any:
    """Score the test cases; scores and means are written below `OUTPUT`."""
    experiment = experiment_of(folder)
    table = evaluate_predictions(
        experiment, folder / "predictions", "test", out_dir=folder / OUTPUT
    )
    return table.scores


def _one(change: Callable[[Path, random.Random], None]) -> Mutate:
    """Change the prediction of one case."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        case = draw.choice(CASES)
        change(folder / "predictions/clinic" / f"{case}.nii.gz", draw)
        return (f"{case}.nii.gz", f"{case}.json")

    return mutate


def _rewritten(
    change: Callable[
        [np.ndarray, np.ndarray, random.Random], tuple[np.ndarray, np.ndarray]
    ],
) -> Mutate:
    """Write the prediction of one case with other voxels or another grid."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        case = draw.choice(CASES)
        labels = np.roll(nifti_faults.voxels()[1], 1, axis=0)
        array, affine = change(labels, nifti_faults.AFFINE.copy(), draw)
        _write(folder, case, array, affine)
        return (f"{case}.nii.gz",)

    return mutate


def _foreign(
    labels: np.ndarray, affine: np.ndarray, draw: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    labels = labels.astype(np.int32)
    place = tuple(draw.randrange(n) for n in labels.shape)
    labels[place] = draw.choice([3, 255, -1, 2**31 - 1, -(2**31)])
    return labels, affine


def _fractions(
    labels: np.ndarray, affine: np.ndarray, draw: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    floats = labels.astype(np.float32)
    floats[tuple(draw.randrange(n) for n in labels.shape)] = draw.choice(
        [0.5, np.nan, np.inf, 1.0001]
    )
    return floats, affine


def _shape(
    labels: np.ndarray, affine: np.ndarray, draw: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    axis = draw.randrange(3)
    if draw.random() < 0.5:
        return np.take(labels, range(1, labels.shape[axis]), axis), affine
    return labels.swapaxes(axis, (axis + 1) % 3), affine


def _grid(
    labels: np.ndarray, affine: np.ndarray, draw: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    if draw.random() < 0.5:
        shift = draw.choice([-1, 1]) * draw.uniform(1, 9)
        affine[draw.randrange(3), 3] += shift
    else:
        affine[:3, draw.randrange(3)] *= draw.choice([-1, 2, 0.5])
    return labels, affine


def _names(path: Path, draw: random.Random) -> None:
    beside = path.with_name(path.name.replace(".nii.gz", ".json"))
    beside.write_bytes(
        draw.choice(
            [b"", b"{", b'{"labels": {"0": "background", "1": "spleen"}}',
             b"[" * 100_000, b"\xff", b'{"labels": {}, "labels": {}}']
        )
    )  # fmt: skip


def _extra(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Files that no case claims: a warning, and the same scores."""
    home = folder / "predictions"
    source = home / "clinic" / f"{CASES[0]}.nii.gz"
    for _ in range(draw.randint(1, 9)):
        name = f"extra_{draw.randrange(10**6)}.nii.gz"
        place = home / draw.choice(["", "clinic", "elsewhere"])
        place.mkdir(exist_ok=True)
        shutil.copy(source, place / name)
    (home / "notes.txt").write_text("text")
    return ()


def _no_folder(folder: Path, draw: random.Random) -> tuple[str, ...]:
    home = folder / "predictions"
    kind = draw.randrange(4)
    shutil.rmtree(home)
    if kind == 1:
        home.mkdir()
    elif kind == 2:
        home.write_text("a file")
    elif kind == 3:
        home.symlink_to(home)
    return ("predictions",)


def _link(path: Path, draw: random.Random) -> None:
    path.unlink()
    os.symlink(draw.choice([path.name, "nowhere.nii.gz", "/dev"]), path)


READER = Reader(
    "predictions folder",
    prepare,
    read,
    (
        Fault("prediction missing", _one(lambda path, draw: path.unlink())),
        Fault("extra files", _extra, harmless=True),
        Fault("folder missing", _no_folder),
        Fault("truncated", _one(truncate)),
        Fault("bits flipped", _one(flip_bits)),
        Fault("another file", _one(replace_by_other)),
        Fault("link to nothing", _one(_link)),
        Fault("foreign label indices", _rewritten(_foreign)),
        Fault("labels not whole", _rewritten(_fractions)),
        Fault("another shape", _rewritten(_shape)),
        Fault("another grid", _rewritten(_grid)),
        Fault("names of other labels", _one(_names)),
    ),
)
