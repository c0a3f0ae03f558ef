"""The progress of the whole run: a bar on a terminal, a line an epoch.

In: Keras' calls during training. Out: the bar on standard error, the lines in
the log, both with the time left of the run.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import Any

import keras
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)


class RunProgress(keras.callbacks.Callback):
    """Says where the run is.

    The time left is that of all steps to come, at the mean speed since this
    call began, validation and checkpoints included.

    Args:
        epochs: of the run.
        steps_per_epoch: optimizer updates of an epoch.
        step: completed when this call began.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, step: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._total = epochs * steps_per_epoch
        self._steps_per_epoch = steps_per_epoch
        self._first = step
        self._held = ExitStack()

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Show the bar, if standard error is a terminal."""
        self._begin = time.monotonic()
        self._bar = self._held.enter_context(
            tqdm(
                total=self._total,
                initial=self._first,
                desc="fit",
                unit="step",
                smoothing=0,  # the mean speed
                disable=None,  # without a terminal
            )
        )
        if not self._bar.disable:
            # Log lines go above the bar.
            self._held.enter_context(logging_redirect_tqdm())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count a step."""
        del batch, logs  # Keras hands them on by name
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Say what the epoch reached."""
        values = [f"{name} {value:.3g}" for name, value in (logs or {}).items()]
        done = (epoch + 1) * self._steps_per_epoch
        seconds = time.monotonic() - self._begin
        left = seconds / (done - self._first) * (self._total - done)
        log.info(
            "epoch %d/%d: %s; %s left",
            epoch + 1,
            self._epochs,
            ", ".join(values),
            tqdm.format_interval(left),
        )

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Take the bar away."""
        self._held.close()
