"""Weights files of a run, as predict and export load them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

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


def prepare(folder: Path) -> None:
    """Write a run of which only the weights are left."""
    from tfpartial.runs.loaded_run import network_of
    from tfpartial.runs.weights import write_weights

    draw = np.random.default_rng(0)
    experiment = experiment_of(folder)
    network = network_of(experiment, "student")
    network.set_weights(
        [draw.uniform(0, 1, w.shape) for w in network.get_weights()]
    )
    (folder / "run").mkdir()
    write_resolved(experiment, folder / "run" / "config.yaml")
    write_weights(network, folder / "run", "student")


def read(folder: Path) -> list[bytes]:
    """Load the student as predict does; return every bit of it."""
    from tfpartial.runs.loaded_run import load_network, load_run

    network = load_network(load_run(folder / "run"), "student")
    return [values.tobytes() for values in network.get_weights()]


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


def _other_values(path: Path, draw: random.Random) -> None:
    """Change numbers: of one tensor, by a little or a lot."""
    import h5py

    with h5py.File(path, "r+") as file:
        names = [n for n in _datasets(path) if "seed" not in n]
        found = file[draw.choice(names)]
        values = found[()]
        place = tuple(draw.randrange(n) for n in values.shape)
        wrong = [0.0, -values[place], np.nan, np.inf, 1e30]
        values[place] = draw.choice([np.nextafter(values[place], 9), *wrong])
        found[()] = values


def _hash(path: Path, draw: random.Random) -> None:
    """Replace the hash of the values by anything."""
    import h5py

    with h5py.File(path, "r+") as file:
        (name,) = file.attrs
        file.attrs[name] = draw.choice(
            ["", "0" * 64, b"\xff", 3, np.zeros(5), np.zeros((2, 2), "S4"),
             h5py.Empty("f4"), "x" * 30_000]
        )  # fmt: skip


def _other_network(path: Path, draw: random.Random) -> None:
    from tfpartial.runs.loaded_run import network_of

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


READER = Reader(
    "weights",
    prepare,
    read,
    (
        Fault("truncated", _of_weights(truncate)),
        Fault("bits flipped", _of_weights(flip_bits)),
        Fault("another file", _of_weights(replace_by_other)),
        Fault("tensors", _of_weights(_edited)),
        Fault("other values", _of_weights(_other_values)),
        Fault("another hash", _of_weights(_hash)),
        Fault("another network", _of_weights(_other_network)),
        Fault("config of the run", _config),
        Fault("no run", _no_run),
    ),
    slow=True,
)
