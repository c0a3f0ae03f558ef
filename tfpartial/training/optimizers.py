"""The optimizers a run can choose, and the one of DeepMedic, exactly."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfpartial.config import Fit
from tfpartial.training.schedules import learning_rate


def build_optimizer(fit: Fit) -> keras.optimizers.Optimizer:
    """Build the declared optimizer with its learning rate over the run.

    Args:
        fit: names the optimizer; its length places the schedule.

    Returns:
        Keras' AdamW or `NesterovRMSprop`, not built. Clipping is not theirs:
        `MeanTeacher` clips the gradient of the global batch.
    """
    options = fit.optimizer
    rate = learning_rate(
        options, fit.epochs * fit.steps_per_epoch, fit.steps_per_epoch
    )
    if options.name == "nesterov_rmsprop":
        return NesterovRMSprop(
            rate,
            rho=options.rho,
            momentum=options.momentum,
            epsilon=options.epsilon,
        )
    return keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)


@keras.saving.register_keras_serializable(package="tfpartial")
class NesterovRMSprop(keras.optimizers.Optimizer):
    """RMSProp with Nesterov momentum, as DeepMedic v0.8.4 has it.

    Formula:
        a <- rho a + (1 - rho) g^2
        s  = lr g / sqrt(a + epsilon)
        v <- m v - s
        w <- w + m v - s,  with the new v

    a and v start at 0. `keras.optimizers.RMSprop(momentum=m)` has the same a
    and s, but steps by v alone (heavy ball): its first step is s, this one's
    (1 + m) s.

    Example:
        rho .9, m .6, epsilon 0, g = 2, lr = .1 at w = 0: a = .4,
        s = .2 / sqrt(.4) = .316, v = -.316, w = -.6 * .316 - .316 = -.506

    Source: DeepMedic v0.8.4, `RmsPropOptimizer` with its shipped training
        options (momentum type 1, not normalised).
    """

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        rho: float = 0.9,
        momentum: float = 0.6,
        epsilon: float = 1e-4,
        name: str = "nesterov_rmsprop",
        **options: Any,
    ) -> None:
        """Make an optimizer; its variables come with the first weights.

        Args:
            learning_rate: lr, a number or a Keras schedule.
            rho: memory of the squared gradients.
            momentum: m.
            epsilon: inside the root.
            name: Keras name.
            options: of every Keras optimizer.
        """
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        """Create a and v of each weight, all 0."""
        if self.built:
            return
        super().build(variables)
        self._squares = self.add_optimizer_variables(variables, "square")
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Update one weight and its a and v; the formula of the class."""
        index = self._get_variable_index(variable)
        square, velocity = self._squares[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        mean = self.rho * square + (1 - self.rho) * ops.square(gradient)
        step = rate * gradient / ops.sqrt(mean + self.epsilon)
        moved = self.momentum * velocity - step
        self.assign(square, mean)
        self.assign(velocity, moved)
        self.assign_add(variable, self.momentum * moved - step)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
