"""Cost and terms, rates, Dice per label, speed, waiting: of each epoch.

In: the logs of an epoch. Out: scalars for TensorBoard, metrics.json.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfpartial.runs.history import History

# Of the machine, not of the run: no two runs agree on it.
_SPEED = "speed/"


class TensorBoardLog(keras.callbacks.Callback):
    """Writes one set of scalars per epoch, at the number of completed steps.

    Tags: loss/total, loss/<term> of every term of the model, such as
    loss/supervised; schedule/<term>_weight, where it changes with the steps;
    schedule/learning_rate; dice_student/<label>, dice_teacher/<label>
    (training patches); speed/patches_per_second,
    speed/share_waiting_for_data.

    Every worker has one, because the counts behind a Dice are summed over all
    workers when they are read; those without a folder write nothing.

    What is not about speed also goes to `history`. There an epoch that a kill
    repeats stands once; TensorBoard shows its points twice, with equal values.
    """

    def __init__(
        self,
        log_dir: Path | None,
        *,
        steps_per_epoch: int,
        global_batch_size: int,
        learning_rate: Any,
        history: History | None = None,
    ) -> None:
        super().__init__()
        self.history = history
        self.writer = (
            tf.summary.create_file_writer(str(log_dir))
            if log_dir
            else tf.summary.create_noop_writer()
        )
        self._steps = steps_per_epoch
        self._batch = global_batch_size
        self._rate = learning_rate
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Start the clocks."""
        self._started = time.perf_counter()
        self.model.wait_seconds = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the scalars of the epoch that ends."""
        seconds = time.perf_counter() - self._started
        step = (epoch + 1) * self._steps
        rate = self._rate
        logs = logs or {}
        scalars = {
            "loss/total": logs.get("loss"),
            "schedule/learning_rate": rate(step - 1)
            if callable(rate)
            else rate,
            "speed/patches_per_second": self._steps * self._batch / seconds,
            "speed/share_waiting_for_data": self.model.wait_seconds / seconds,
        }
        for term in self.model.terms:
            scalars[f"loss/{term.name}"] = logs.get(term.name)
            if callable(term.weight):
                weight = term.weight_at(step - 1)
                scalars[f"schedule/{term.name}_weight"] = weight
        for kind in ("student", "teacher"):
            metric = getattr(self.model, f"{kind}_dice")
            for name, dice in metric.per_label().items() if metric else ():
                scalars[f"dice_{kind}/{name}"] = dice
        self.write(step, scalars)
        if self.history is not None:
            kept = {
                tag: None if value is None else float(value)
                for tag, value in scalars.items()
                if not tag.startswith(_SPEED)
            }
            self.history.add({"epoch": epoch + 1, "step": step} | kept)

    def write(self, step: int, scalars: dict[str, Any]) -> None:
        """Write named scalars, leaving out None and NaN."""
        with self.writer.as_default():
            for tag, value in scalars.items():
                if value is not None and float(value) == float(value):
                    tf.summary.scalar(tag, float(value), step=step)
        self.writer.flush()

    def write_image(self, step: int, tag: str, image: Any) -> None:
        """Write one RGB picture (rows, columns, 3) uint8."""
        with self.writer.as_default():
            tf.summary.image(tag, image[None], step=step)
        self.writer.flush()
