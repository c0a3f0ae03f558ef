"""The training step as a pure function, on the JAX backend of Keras.

In: a network of the registry, a batch. Out: the same losses and updates as
`tfpartial.training.mean_teacher`, for one device. Networks and losses are the
package's own: they speak `keras.ops` alone. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Before Keras is imported, and JAX.
os.environ["KERAS_BACKEND"] = "jax"
# Memory as it is needed: another process measures on the same device.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import keras
from keras import ops

from tfpartial import losses
from tfpartial.models import build_network, dropout_keys
from tfpartial.training.ema import warmed_decay

STUDENT_STREAM, TEACHER_STREAM = 0, 1
EMA_DECAY = 0.99
State = dict[str, Any]


class StatelessStep:
    """A student, maybe its teacher, and the compiled step that trains them.

    Attributes:
        student: the network; its variables stay as they were built.
        state: arrays that a step takes and gives: the student's trainable and
            other ones, the optimizer's, the teacher's, and how many steps
            were completed.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        batch: Mapping[str, np.ndarray],
        *,
        precision: str = "float32",
        taught: bool = False,
    ) -> None:
        """Build networks and state; nothing is compiled yet.

        Args:
            name: of the network in the registry.
            options: of its builder.
            batch: as `MeanTeacher` takes it; stays on the device.
            precision: "float32" or "bfloat16".
            taught: whether there is a teacher.
        """
        policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        keras.config.set_dtype_policy(policy)
        self.student, self._teacher = (
            build_network(name, seed=0, model_name=model_name, **options)
            for model_name in ("student", "teacher")
        )
        self._optimizer = keras.optimizers.AdamW(1e-3)
        self._optimizer.build(self.student.trainable_variables)
        self._batch = {key: jax.device_put(v) for key, v in batch.items()}
        self.state: State = {
            "trainable": _values(self.student.trainable_variables),
            "others": _values(self.student.non_trainable_variables),
            "optimizer": _values(self._optimizer.variables),
            "steps": np.int32(0),
        }
        if taught:
            self._teacher.trainable = False
            # Copies: a step gives its arguments' memory to its results.
            self.state["teacher"] = _values(self.student.trainable_variables)
        self._step: Callable = jax.jit(self._next, donate_argnums=0)

    def __call__(self) -> float:
        """Take one step; return its loss."""
        loss, self.state = self._step(self.state, self._batch)
        return float(loss)

    def loss_and_norm(self) -> tuple[float, float]:
        """Return the loss and the norm of its gradient, without a step."""
        (loss, _), gradients = jax.jit(self._gradients)(self.state, self._batch)
        squares = sum(float(ops.sum(ops.square(g))) for g in gradients)
        return float(loss), squares**0.5

    def _gradients(self, state: State, batch: Any) -> Any:
        target = self._target(state, batch) if "teacher" in state else None

        def loss_of(trainable: Any) -> tuple[Any, Any]:
            with dropout_keys(0, state["steps"], batch["row"], STUDENT_STREAM):
                logits, others = self.student.stateless_call(
                    trainable, state["others"], batch["image"], training=True
                )
            labels, candidates = batch["labels"], batch["candidates"]
            loss = losses.scalar(
                losses.weighted_sum(
                    losses.candidate_cross_entropy(labels, logits, candidates),
                    losses.informative_voxels(labels, candidates),
                )
            )
            if target is not None:
                loss += ops.mean(losses.consistency(logits, target))
            return loss, others

        return jax.value_and_grad(loss_of, has_aux=True)(state["trainable"])

    def _target(self, state: State, batch: Any) -> Any:
        """Return the teacher's logits: dropout on, statistics the student's."""
        student = self.student
        of_student = {
            id(variable): value
            for variables, values in (
                (student.trainable_variables, state["teacher"]),
                (student.non_trainable_variables, state["others"]),
            )
            for variable, value in zip(variables, values, strict=True)
        }
        # A frozen network has no trainable variables: it takes all of them, in
        # the order of the network, which is the student's.
        values = [of_student[id(v)] for v in student.variables]
        with dropout_keys(0, state["steps"], batch["row"], TEACHER_STREAM):
            logits, _ = self._teacher.stateless_call(
                [], values, batch["image"], training=True
            )
        return logits

    def _next(self, state: State, batch: Any) -> tuple[Any, State]:
        (loss, others), gradients = self._gradients(state, batch)
        trainable, optimizer = self._optimizer.stateless_apply(
            state["optimizer"], gradients, state["trainable"]
        )
        after = {
            "trainable": trainable,
            "others": others,
            "optimizer": optimizer,
            "steps": state["steps"] + 1,
        }
        if "teacher" in state:
            decay = warmed_decay(EMA_DECAY, state["steps"])
            after["teacher"] = [
                decay * mean + (1.0 - decay) * value
                for mean, value in zip(state["teacher"], trainable, strict=True)
            ]
        return loss, after


def _values(variables: list[Any]) -> list[Any]:
    return [ops.copy(variable.value) for variable in variables]
