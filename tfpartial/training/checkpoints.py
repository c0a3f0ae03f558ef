"""Checkpoints: everything a run needs to go on, and the weights to use it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpartial.training.mean_teacher import MeanTeacher, NonFiniteLossError


class Checkpoints(keras.callbacks.Callback):
    """Saves the run at the end of each epoch and restores the newest state.

    A checkpoint holds student, teacher, optimizer and the seeds of dropout
    layers (which no Keras format keeps). The position in the data is the
    step: `optimizer.iterations`.
    """

    def __init__(
        self, model: MeanTeacher, run_dir: Path, keep: int, worker: int
    ) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.worker = worker
        parts = {"student": model.student, "optimizer": model.optimizer}
        if model.teacher is not None:
            parts["teacher"] = model.teacher
        seeds = [v for v in model.variables if "seed_generator" in v.path]
        self._checkpoint = tf.train.Checkpoint(**parts, seeds=seeds)
        # Every worker takes part in a save; only the first one's is kept.
        self._elsewhere = tempfile.TemporaryDirectory() if worker else None
        folder: Path | str = run_dir / "checkpoints"
        if self._elsewhere is not None:
            folder = self._elsewhere.name
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep
        )

    def restore(self) -> int:
        """Restore the newest checkpoint; return the completed steps."""
        newest = tf.train.latest_checkpoint(str(self.run_dir / "checkpoints"))
        if newest is None:
            return 0
        self._checkpoint.restore(newest).assert_consumed()
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
                    f"not finite. The checkpoint before is intact; try a "
                    f"smaller learning rate or float32."
                )
        if self.worker == 0:
            write_weights(self.model.student, self.run_dir, "student")
            if self.model.teacher is not None:
                write_weights(self.model.teacher, self.run_dir, "teacher")
        self._manager.save(checkpoint_number=epoch + 1)


def _is_finite(network: keras.Model) -> bool:
    return all(np.isfinite(values).all() for values in network.get_weights())


def write_weights(network: keras.Model, run_dir: Path, name: str) -> None:
    """Write `<name>.weights.h5` beside its place, then rename it there."""
    beside = run_dir / f".{name}.tmp.weights.h5"
    network.save_weights(beside, overwrite=True)
    os.replace(beside, run_dir / f"{name}.weights.h5")
