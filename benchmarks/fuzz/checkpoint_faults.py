"""Checkpoints of a run, and weights files that predict and export load."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.corpus import (
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from tfpartial.config import Experiment, write_resolved

NO_CHECKSUM = "neither weights nor checkpoints carry checksums"


def experiment_of(folder: Path) -> Experiment:
    """Declare a network of 2 levels; nothing is trained on."""
    database = {
        "name": "clinic",
        "layout": "label_map_folder",
        "path": str(folder / "scans"),
        "values": {"1": "liver"},
        "licence": "none",
        "citation": "none",
    }
    return Experiment.model_validate(
        {
            "label_space": [{"name": "liver"}],
            "databases": [database],
            "records_dir": str(folder / "records"),
            "run_dir": str(folder / "run"),
            "network": {"filters": [2, 4]},
            "fit": {"patch_shape": [8, 8, 8]},
        }
    )


@functools.cache
def _model() -> Any:
    from tfpartial.training.fit import build_model

    return build_model(experiment_of(Path("unused")))


def _checkpoints(folder: Path) -> Any:
    from tfpartial.training.checkpoints import Checkpoints

    callback = Checkpoints(_model(), folder / "run", 2, 0)
    callback.set_model(_model())
    return callback


def prepare(folder: Path) -> None:
    """Write a run with one checkpoint and the weights for use."""
    draw = np.random.default_rng(0)
    for variable in _model().variables:
        if "float" in variable.dtype:
            variable.assign(draw.uniform(0, 1, variable.shape))
    (folder / "run").mkdir()
    write_resolved(experiment_of(folder), folder / "run" / "config.yaml")
    _checkpoints(folder).on_epoch_end(0)


def read_checkpoint(folder: Path) -> list[np.ndarray]:
    """Restore into a model whose variables hold something else."""
    for variable in _model().variables:
        if "float" in variable.dtype:
            variable.assign(np.full(variable.shape, 7.0))
    steps = _checkpoints(folder).restore()
    networks = (_model().student, _model().teacher)
    return [np.asarray(steps), *(w for n in networks for w in n.get_weights())]


def read_weights(folder: Path) -> list[np.ndarray]:
    """Load the student as predict does."""
    from tfpartial.inference.load_network import load_network, load_run

    return load_network(load_run(folder / "run"), "student").get_weights()


def _of_checkpoint(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        files = (folder / "run" / "checkpoints").rglob("*")
        change(draw.choice(sorted(p for p in files if p.is_file())), draw)
        return ("checkpoints",)

    return mutate


def _no_checkpoint_data(folder: Path, draw: random.Random) -> tuple[str, ...]:
    home = folder / "run" / "checkpoints"
    for path in home.rglob(draw.choice(["*.index", "*.data-*"])):
        path.unlink()
    return ("checkpoints",)


def _of_weights(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        change(folder / "run" / "student.weights.h5", draw)
        return ("student.weights.h5",)

    return mutate


def _datasets(path: Path) -> list[str]:
    import h5py

    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
    return sorted(found)


def _edited(path: Path, draw: random.Random) -> None:
    """Replace one tensor: absent, of another shape or type, or elsewhere."""
    import h5py

    name = draw.choice([n for n in _datasets(path) if "seed" not in n])
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        kind = draw.randrange(6)
        if kind == 1:
            file[name] = np.zeros((*shape, 2), "f4")
        elif kind == 2:
            file[name] = np.full(shape, b"text")
        elif kind == 3:
            file[name] = h5py.ExternalLink("/etc/hostname", "/")
        elif kind == 4:
            file.create_dataset(name, (2**40,), "f4", chunks=(2**20,))
        elif kind == 5:
            file.create_dataset(
                name, shape, "f4", external=[("/etc/hostname", 0, 2**20)]
            )


def _other_network(path: Path, draw: random.Random) -> None:
    from tfpartial.inference.load_network import network_of

    experiment = experiment_of(path.parents[1])
    filters = draw.choice([[2, 5], [2, 4, 8], [4, 4]])
    other = experiment.network.model_copy(update={"filters": filters})
    changed = experiment.model_copy(update={"network": other})
    network_of(changed, "student").save_weights(path, overwrite=True)


def _config(folder: Path, draw: random.Random) -> tuple[str, ...]:
    path = folder / "run" / "config.yaml"
    draw.choice([truncate_whole, replace_by_other])(path, draw)
    return ("config.yaml", "run")


def truncate_whole(path: Path, draw: random.Random) -> None:
    """Cut a config within its first, required sections."""
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(data.index(b"run_dir:"))])


def _no_run(folder: Path, draw: random.Random) -> tuple[str, ...]:
    shutil.rmtree(folder / "run")
    if draw.random() < 0.5:
        (folder / "run").mkdir()
    return ("run",)


READERS = (
    Reader(
        "checkpoint",
        prepare,
        read_checkpoint,
        (
            Fault("truncated", _of_checkpoint(truncate), known=NO_CHECKSUM),
            Fault("bits flipped", _of_checkpoint(flip_bits), known=NO_CHECKSUM),
            Fault(
                "another file",
                _of_checkpoint(replace_by_other),
                known=NO_CHECKSUM,
            ),
            Fault("file missing", _no_checkpoint_data, known=NO_CHECKSUM),
        ),
        slow=True,
    ),
    Reader(
        "weights",
        prepare,
        read_weights,
        (
            Fault("truncated", _of_weights(truncate)),
            Fault("bits flipped", _of_weights(flip_bits), known=NO_CHECKSUM),
            Fault("another file", _of_weights(replace_by_other)),
            Fault("tensors", _of_weights(_edited)),
            Fault("another network", _of_weights(_other_network)),
            Fault("config of the run", _config),
            Fault("no run", _no_run),
        ),
        slow=True,
    ),
)
