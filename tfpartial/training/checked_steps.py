"""A Keras model whose steps run under any strategy and are each checked.

In: a model with `train_step` and `test_step` that return the total loss.
Out: the functions that `keras.Model.fit` and `evaluate` call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpartial.errors import MachineError


class NonFiniteLossError(MachineError):
    """A loss or weights are not finite numbers; the run must stop."""


class CheckedSteps(keras.Model):
    """Replaces three methods of the Keras 3.15 TensorFlow trainer.

    They fail under MultiWorkerMirroredStrategy; here the wait for data is
    measured too, and a loss that is not finite is named by its step.

    Attributes:
        wait_seconds: time spent waiting for data since it was last reset.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.wait_seconds = 0.0
        self.train_function: Any = None
        self.test_function: Any = None

    def _maybe_symbolic_build(
        self,
        iterator: Any = None,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
    ) -> None:
        with self.distribute_strategy.scope():
            if self.optimizer is not None and not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)

    def _compile_step(self, replica_step: Callable[[Any], Any]) -> Callable:
        if self.steps_per_execution != 1:
            raise ValueError(
                "steps_per_execution: expected 1 (each step is checked for a "
                f"finite loss), received {self.steps_per_execution}."
            )
        strategy = self.distribute_strategy

        def run(batch: Any) -> Any:
            return strategy.run(replica_step, args=(batch,))

        if not self.run_eagerly:
            # As Keras does: nothing in a step needs rewriting by AutoGraph.
            run = tf.function(run, reduce_retracing=True, autograph=False)

        def step(iterator: Any) -> dict[str, Any]:
            started = time.perf_counter()
            try:
                batch = next(iterator)
            except (tf.errors.OutOfRangeError, StopIteration):
                raise StopIteration from None
            self.wait_seconds += time.perf_counter() - started
            total = strategy.experimental_local_results(run(batch))[0]
            if not np.isfinite(float(total)):
                raise NonFiniteLossError(
                    f"step {int(self.optimizer.iterations.numpy())}: the loss "
                    f"is {float(total)}."
                )
            return self.get_metrics_result()

        return step

    def make_train_function(self, force: bool = False) -> Any:
        """Return iterator -> logs for one training step."""
        if self.train_function is None or force:
            self.train_function = self._compile_step(self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Return iterator -> logs for one test step."""
        if self.test_function is None or force:
            self.test_function = self._compile_step(self.test_step)
        return self.test_function
