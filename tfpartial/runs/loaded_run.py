"""A run folder -> its declaration and its trained networks.

In: `<run_dir>/config.yaml` and `<run_dir>/student|teacher.weights.h5`, both
written by training. Out: `LoadedRun`, `keras.Model`.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import keras

from tfpartial.config import Experiment, load_experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import file_hash
from tfpartial.labels import LabelSpace
from tfpartial.models import build_network

Which = Literal["student", "teacher"]
# HDF5 does not notice a changed bit in its arrays.
_HASH_ATTRIBUTE = "sha256_of_values"
# What HDF5 writes beside the values of an array: more than was ever seen.
_BYTES_PER_ARRAY = 8192


@dataclass(frozen=True)
class LoadedRun:
    """What a training run declared, and where it lies.

    Attributes:
        experiment: its resolved config.
        space: its label space.
        run_dir: the folder with the weights.
    """

    experiment: Experiment
    space: LabelSpace
    run_dir: Path

    @property
    def window_shape(self) -> tuple[int, int, int]:
        """The declared window, else the training patch, in voxels."""
        experiment = self.experiment
        return experiment.predict.window_shape or experiment.fit.patch_shape

    def weights_path(self, which: Which) -> Path:
        """Return the weights file of a network.

        Raises:
            InputError: it does not exist.
        """
        path = self.run_dir / f"{which}.weights.h5"
        if path.is_file():
            return path
        written = sorted(p.name for p in self.run_dir.glob("*.weights.h5"))
        raise InputError(
            f"{self.run_dir}: expected {path.name}, found "
            f"{', '.join(written) or 'no weights'}. "
            + (
                "Choose the other network with predict.network, or train "
                "with fit.teacher=true."
                if written
                else "Run fit until it has finished an epoch."
            )
        )

    def weights_hash(self, which: Which) -> str:
        """Return the sha256 of a weights file: it names the network."""
        return file_hash(self.weights_path(which))


def load_run(run_dir: str | Path) -> LoadedRun:
    """Read what a run declared.

    Raises:
        InputError: the folder is not a run, or its config has faults.
    """
    run_dir = Path(run_dir)
    config = run_dir / "config.yaml"
    if not config.is_file():
        raise InputError(
            f"{run_dir}: expected a run folder with config.yaml, found "
            f"{'none in it' if run_dir.is_dir() else 'no such folder'}. "
            f"Run fit first, or name the run_dir of a finished fit."
        )
    experiment = load_experiment(config)
    return LoadedRun(experiment, label_space_of(experiment), run_dir)


def network_of(experiment: Experiment, name: str) -> keras.Model:
    """Build the declared network under a name (prefix of its layers)."""
    sizes = experiment.network.model_dump()
    return build_network(
        sizes.pop("name"),
        num_labels=label_space_of(experiment).num_labels,
        seed=experiment.seed,
        model_name=name,
        **sizes,
    )


def write_weights(network: keras.Model, run_dir: Path, name: str) -> None:
    """Write `<name>.weights.h5` beside its place, then rename it there.

    A hash of the values goes into the file, for `load_network`.
    """
    beside = run_dir / f".{name}.tmp.weights.h5"
    try:
        _try_space(beside, network)
        network.save_weights(beside, overwrite=True)
        with h5py.File(beside, "r+") as file:
            file.attrs[_HASH_ATTRIBUTE] = hash_of_values(network)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(beside, run_dir / f"{name}.weights.h5")
    finally:
        beside.unlink(missing_ok=True)


def _try_space(path: Path, network: keras.Model) -> None:
    """Fill the space that the file will need, so that a lack of it is said.

    HDF5 does not survive a full disk: it ends the process when it closes the
    file that it could not write.

    Raises:
        OSError: there is not enough space, or files may not be that large.
    """
    values = network.get_weights()
    size = sum(array.nbytes for array in values)
    with path.open("wb") as file:
        file.write(bytes(size + _BYTES_PER_ARRAY * len(values)))


def hash_of_values(network: keras.Model) -> str:
    """Return the sha256 of all weights, in order, as hex."""
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def load_network(run: LoadedRun, which: Which = "student") -> keras.Model:
    """Build the declared network and load its trained weights.

    Raises:
        InputError: the weights are missing, damaged, or belong to another
            network.
    """
    path = run.weights_path(which)
    network = network_of(run.experiment, which)
    try:
        with warnings.catch_warnings():
            # Keras only warns where a layer finds no weights in the file.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
        with h5py.File(path) as file:
            expected = file.attrs.get(_HASH_ATTRIBUTE)  # none: an older file
    except MemoryError:
        raise
    except Exception as error:  # damaged HDF5 raises nearly anything
        raise InputError(
            f"{path}: these weights do not fit: expected those of the network "
            f"that {run.run_dir / 'config.yaml'} declares "
            f"({run.experiment.network.name}, {run.space.num_labels} labels), "
            f"found others: {str(error).rstrip('.')}. Restore the config or "
            f"the weights of the run, or train again."
        ) from error
    found = hash_of_values(network)
    if expected is not None and str(expected) != found:
        raise InputError(
            f"{path}: damaged: expected weights of sha256 {str(expected):.12}, "
            f"found {found:.12}. Bring the file back from a backup; or remove "
            f"the newest folder in {run.run_dir / 'checkpoints'} and call fit "
            f"again, which repeats the last epoch and writes the file anew."
        )
    return network
