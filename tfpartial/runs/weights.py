"""Weights files: written whole, and with a hash that shows any damage.

In: a network. Out: `<run_dir>/student|teacher.weights.h5`, and back.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import h5py
import keras

from tfpartial.errors import InputError
from tfpartial.runs.run_dir import RunDir

# HDF5 does not notice a changed bit in its arrays.
_HASH_ATTRIBUTE = "sha256_of_values"
# What HDF5 writes beside the values of an array: more than was ever seen.
_BYTES_PER_ARRAY = 8192


def write_weights(network: keras.Model, run_dir: Path, name: str) -> None:
    """Write `<name>.weights.h5` beside its place, then rename it there.

    A hash of the values goes into the file, for `read_weights`.
    """
    beside = run_dir / f".{name}.tmp.weights.h5"
    try:
        _try_space(beside, network)
        network.save_weights(beside, overwrite=True)
        with h5py.File(beside, "r+") as file:
            file.attrs[_HASH_ATTRIBUTE] = hash_of_values(network)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(beside, RunDir(run_dir).weights(name))
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


def read_weights(network: keras.Model, path: Path, declared: str) -> None:
    """Give a network the weights of a file that `write_weights` wrote.

    Args:
        network: as it was written.
        path: the file.
        declared: where and how the network is declared, for the message.

    Raises:
        InputError: the weights are damaged, or of another network.
    """
    try:
        with warnings.catch_warnings():
            # Keras only warns where a layer finds no weights in the file.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
        with h5py.File(path) as file:
            expected = str(file.attrs.get(_HASH_ATTRIBUTE))
    except MemoryError:
        raise
    except Exception as error:  # damaged HDF5 raises nearly anything
        raise InputError(
            f"{path}: these weights do not fit: expected those of the network "
            f"that {declared}, found others: {str(error).rstrip('.')}. Restore "
            f"the config or the weights of the run, or train again."
        ) from error
    found = hash_of_values(network)
    if expected != found:
        raise InputError(
            f"{path}: damaged: expected weights of sha256 {expected:.12}, "
            f"found {found:.12}. Bring the file back from a backup; or remove "
            f"the newest folder in {RunDir(path.parent).checkpoints} and call "
            f"fit again, which repeats the last epoch and writes the file anew."
        )
