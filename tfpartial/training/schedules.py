"""Schedules: consistency weight and learning rate as functions of progress."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfpartial.config.optimizer import Optimizer
from tfpartial.types import Tensor


def consistency_weight(
    completed_epochs: Tensor,
    epochs: int,
    weight: float = 1.0,
    ramp_start: float = 3 / 35,
    ramp_end: float = 13 / 35,
) -> Tensor:
    """Weight w of the consistency term: the ramp w(e) of docs/equations.md.

    Formula:
        w(e) = w * clip((e - a E) / (b E - a E), 0, 1)

    which for E = 35, a = 3/35, b = 13/35 is the paper's
    clip((e - 3) / 10, 0, 1). Runs of another length keep the shares a and b,
    so that w reaches its end in every run.

    Args:
        completed_epochs: e, scalar, epochs completed before this step.
        epochs: E, epochs of the run.
        weight: value at the end of the ramp.
        ramp_start: a, share of the run.
        ramp_end: b, share of the run.

    Returns:
        Scalar float32.
    """
    start, length = ramp_start * epochs, (ramp_end - ramp_start) * epochs
    risen = (ops.cast(completed_epochs, "float32") - start) / max(length, 1e-6)
    return weight * ops.clip(risen, 0.0, 1.0)


def learning_rate(
    options: Optimizer, steps: int, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Learning rate over the run, by name, with a linear warm-up.

    Args:
        options: schedule name, peak rate, `warmup_steps` and, for the
            halvings, their epochs.
        steps: optimizer steps of the whole run.
        steps_per_epoch: of them, those of one epoch.

    Returns:
        A Keras schedule (or the constant).
    """
    peak, warmup = options.learning_rate, options.warmup_steps
    if options.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else peak,
            decay_steps=max(steps - warmup, 1),
            alpha=0.01,
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    after: Any
    if options.schedule == "polynomial":
        after = keras.optimizers.schedules.PolynomialDecay(
            peak, max(steps - warmup, 1), end_learning_rate=0.0, power=0.9
        )
    elif options.schedule == "halvings":
        after = _halvings(options, steps_per_epoch)
    else:
        after = keras.optimizers.schedules.PolynomialDecay(peak, 1, peak)
    return WarmedUp(after, peak, warmup) if warmup else after


def _halvings(
    options: Optimizer, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Halve the rate as each of the epochs begins; epochs count from 0.

    Formula:
        rate(step) = peak / 2^n,
        n = how many e of `halve_at_epochs` have step >= e * steps_per_epoch
    """
    epochs, peak = options.halve_at_epochs, options.learning_rate
    # A boundary of Keras is the last step *before* the change; the steps are
    # counted from the end of the warm-up (`WarmedUp`).
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [e * steps_per_epoch - 1 - options.warmup_steps for e in epochs],
        [peak / 2**n for n in range(len(epochs) + 1)],
    )


@keras.saving.register_keras_serializable(package="tfpartial")
class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from 0 to `peak` over `warmup_steps`, then `after`."""

    def __init__(
        self,
        after: keras.optimizers.schedules.LearningRateSchedule,
        peak: float,
        warmup_steps: int,
    ) -> None:
        self.after = after
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        """Return the rate at a step."""
        step = ops.cast(step, "float32")
        rising = self.peak * step / self.warmup_steps
        later = self.after(ops.maximum(step - self.warmup_steps, 0.0))
        return ops.where(step < self.warmup_steps, rising, later)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "after": keras.saving.serialize_keras_object(self.after),
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
        }
