"""The teacher: moving average of the student (docs/equations.md)."""

from __future__ import annotations

import keras
from keras import ops

from tfpartial.types import Tensor


def warmed_decay(decay: float, step: Tensor) -> Tensor:
    """Decay of the moving average at a step, warmed up: EMA warm-up.

    Formula:
        alpha_t = min(alpha, 1 - 1 / (t + 1))

    With t = 0 the teacher becomes the student; later it averages over all
    steps so far until `decay` takes over. Without it a short run would compare
    the student with its initial weights.

    Args:
        decay: alpha, in [0, 1).
        step: t, scalar: optimizer steps completed *before* this one.

    Returns:
        Scalar float32.
    """
    t = ops.cast(step, "float32")
    return ops.minimum(ops.cast(decay, "float32"), 1.0 - 1.0 / (t + 1.0))


def update_teacher(
    student: keras.Model, teacher: keras.Model, decay: Tensor
) -> None:
    """Move the teacher towards the student: EMA update.

    Formula:
        theta_ema <- alpha * theta_ema + (1 - alpha) * theta

    for trainable variables; moving statistics (batch norm) are copied, since
    they are averages already. Plain `assign` in replica context: the assigned
    value is a function of synchronised variables, so replicas stay equal.

    Args:
        student: source of theta, after the optimizer step.
        teacher: same architecture; its weights are in the same order.
        decay: alpha, scalar.
    """
    trainable = {id(variable) for variable in student.trainable_weights}
    for target, source in zip(teacher.weights, student.weights, strict=True):
        if id(source) in trainable:
            alpha = ops.cast(decay, target.dtype)
            target.assign(alpha * target + (1.0 - alpha) * source)
        else:
            target.assign(source)
