"""Checkpoints: everything a run needs to go on, and the weights to use it."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpartial.errors import InputError
from tfpartial.runs import checkpoint_files as files
from tfpartial.runs.weights import write_weights
from tfpartial.training.mean_teacher import MeanTeacher, NonFiniteLossError

log = logging.getLogger(__name__)


class Checkpoints(keras.callbacks.Callback):
    """Saves the run at the end of each epoch and restores the newest state.

    A checkpoint holds student, teacher, optimizer and the seeds of dropout
    layers (which no Keras format keeps). The position in the data is the
    step: `optimizer.iterations`. Metrics start anew in each epoch, and an
    epoch is the unit that is repeated: they need no place here.
    """

    def __init__(
        self, model: MeanTeacher, run_dir: Path, keep: int, worker: int
    ) -> None:
        """Collect what a checkpoint holds.

        Args:
            model: to be saved and restored.
            run_dir: of the run; the first worker writes there.
            keep: checkpoints that stay; with 1 there is none to go back to.
            worker: index of this worker.
        """
        super().__init__()
        self.run_dir = run_dir
        self.keep = keep
        self.worker = worker
        parts: dict[str, Any] = {
            "student": model.student,
            "optimizer": model.optimizer,
        }
        if model.teacher is not None:
            parts["teacher"] = model.teacher
        seeds = [v for v in model.variables if "seed_generator" in v.path]
        self._checkpoint = tf.train.Checkpoint(**parts, seeds=seeds)

    def restore(self) -> int:
        """Restore the newest intact checkpoint; return the completed steps.

        Raises:
            InputError: there are checkpoints, but none is intact, or the
                newest intact one is not of this network.
        """
        folder = self.run_dir / files.FOLDER
        if os.path.lexists(folder) and not folder.is_dir():
            raise InputError(
                f"{folder}: expected a folder of checkpoints, found a file. "
                f"Bring the folder back from a backup, or remove the file to "
                f"train from the beginning."
            )
        damaged = []
        for saved in files.newest_first(self.run_dir):
            fault = files.find_fault(saved)
            if fault is None:
                self._read(saved)
                return self._steps()
            log.warning(
                "%s is damaged. %s Going back to the checkpoint before.",
                saved.folder.name,
                fault,
            )
            damaged.append(fault)
        if damaged:
            raise InputError(
                f"{folder}: expected an intact checkpoint, found "
                f"{len(damaged)} damaged: {' '.join(damaged)} Bring one back "
                f"from a backup, or remove this folder to train from the "
                f"beginning."
            )
        return 0

    def _read(self, saved: files.Saved) -> None:
        """Read a checkpoint; say what TensorFlow makes of another network."""
        try:
            self._checkpoint.read(saved.prefix).assert_consumed()
        except MemoryError:
            raise
        except Exception as error:  # a damaged index raises nearly anything
            raise InputError(
                f"{saved.folder}: expected the variables of this network and "
                f"optimizer, found others ({error}). Choose another run_dir, "
                f"go on with the version of tfpartial that run.json names, or "
                f"remove this checkpoint to go back to the one before."
            ) from error

    def _steps(self) -> int:
        return int(self._checkpoint.optimizer.iterations.numpy())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Save weights for use, then the checkpoint for going on.

        Raises:
            NonFiniteLossError: the last update of the epoch broke the
                weights, which no loss has shown yet; nothing is saved.
        """
        for network in (self.model.student, self.model.teacher):
            if network is not None and not _is_finite(network):
                raise NonFiniteLossError(
                    f"epoch {epoch + 1}: {network.name} has weights that are "
                    f"not finite."
                )
        if self.worker > 0:
            # Every worker takes part in a save; only the first one's is kept.
            with tempfile.TemporaryDirectory() as elsewhere:
                self._checkpoint.write(f"{elsewhere}/state")
            return
        write_weights(self.model.student, self.run_dir, "student")
        if self.model.teacher is not None:
            write_weights(self.model.teacher, self.run_dir, "teacher")
        written = files.begin(self.run_dir, epoch + 1)
        try:
            self._checkpoint.write(written.prefix)
            files.finish(self.run_dir, written, self.keep)
        finally:
            files.discard(self.run_dir)


def _is_finite(network: keras.Model) -> bool:
    return all(np.isfinite(values).all() for values in network.get_weights())
