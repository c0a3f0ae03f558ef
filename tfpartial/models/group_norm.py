"""Group normalisation with a gradient of its own.

In: features (B, ..., C). Out: features of the same shape and dtype.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfpartial.types import Tensor


@keras.saving.register_keras_serializable(package="tfpartial")
class GroupNorm(keras.layers.Layer):
    """Group normalisation in as few passes over memory as can be.

    Formula:
        y = gamma * (x - mean_g) / sqrt(variance_g + epsilon) + beta
          = x * scale + offset

    mean_g and variance_g are those of the channels of one group over all
    voxels of one sample, from the sums of x and x^2 per channel (float32).
    Folded into scale and offset per sample and channel it touches the features
    three times, its gradient (`_gradients`) likewise.

    Attributes:
        num_groups: groups of channels; -1: one per channel (instance norm).
        epsilon: added to the variance.

    Source: Wu & He, 2018, arXiv 1803.08494. Differs from it in: nothing.
    """

    def __init__(
        self, num_groups: int, epsilon: float = 1e-5, **options: Any
    ) -> None:
        """Store the number of groups.

        Args:
            num_groups: must divide the number of channels; -1: one each.
            epsilon: added to the variance.
            **options: of `keras.layers.Layer`.
        """
        super().__init__(**options)
        self.num_groups = int(num_groups)
        self.epsilon = float(epsilon)

    def build(self, input_shape: Any) -> None:
        """Create gamma and beta, (C,).

        Raises:
            ValueError: the groups do not divide the channels.
        """
        channels = input_shape[-1]
        groups = channels if self.num_groups == -1 else self.num_groups
        if groups < 1 or channels % groups:
            raise ValueError(
                f"num_groups: expected a divisor of {channels} channels, "
                f"received {self.num_groups}."
            )
        self.groups = groups
        # float32 under any policy: so are the sums that they scale.
        self.gamma = self.add_weight(
            shape=(channels,), initializer="ones", name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta", autocast=False
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Normalise (B, ..., C); same shape and dtype."""
        gamma, beta = (ops.cast(w, "float32") for w in (self.gamma, self.beta))
        return ops.custom_gradient(self._normalized)(inputs, gamma, beta)

    def _normalized(
        self, x: Tensor, gamma: Tensor, beta: Tensor
    ) -> tuple[Tensor, Any]:
        """Return y, and the function that gives its gradients."""
        mean = self._of_group(_channel_mean(x))
        square = self._of_group(_channel_mean(x, x))
        # Rounding can take the difference below 0 where a group is constant.
        variance = ops.maximum(square - ops.square(mean), 0.0)
        inverse = ops.rsqrt(variance + self.epsilon)
        scale = gamma * inverse
        y = _add_channels(_times_channels(x, scale), beta - mean * scale)

        def gradients(*given: Tensor, upstream: Tensor = None) -> tuple:
            # TensorFlow and JAX give one tensor, PyTorch all arguments as well.
            dy = given[-1] if upstream is None else upstream
            return self._gradients(x, dy, gamma, mean, inverse)

        return y, gradients

    def _gradients(
        self,
        x: Tensor,
        dy: Tensor,
        gamma: Tensor,
        mean: Tensor,
        inverse: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, gamma and beta.

        Formula, with z = (x - mean) * inverse and < > the mean over a group:
            dgamma = sum dy z,  dbeta = sum dy
            dx = inverse * (gamma dy - <gamma dy> - z <gamma dy z>)
               = dy * (gamma inverse) + x * slope + rest
        """
        voxels = ops.cast(ops.size(x) // ops.size(mean), "float32")
        sum_dy = _channel_mean(dy)
        sum_dyz = (_channel_mean(dy, x) - mean * sum_dy) * inverse
        slope = -ops.square(inverse) * self._of_group(gamma * sum_dyz)
        rest = -inverse * self._of_group(gamma * sum_dy) - slope * mean
        dx = _add_channels(
            _times_channels(dy, gamma * inverse) + _times_channels(x, slope),
            rest,
        )
        axes = tuple(range(len(x.shape) - 1))
        return (
            dx,
            voxels * ops.sum(sum_dyz, axis=axes),
            voxels * ops.sum(sum_dy, axis=axes),
        )

    def _of_group(self, per_channel: Tensor) -> Tensor:
        """Average (B, 1, ..., C) over each group; same shape."""
        channels = per_channel.shape[-1]
        if self.groups == channels:
            return per_channel
        split = ops.reshape(
            per_channel, (-1, self.groups, channels // self.groups)
        )
        mean = ops.mean(split, axis=-1, keepdims=True) * ops.ones_like(split)
        return ops.reshape(mean, ops.shape(per_channel))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape unchanged."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"num_groups": self.num_groups, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def _channel_mean(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Return the mean of x (or x * y) per sample and channel, in float32.

    (B, ..., C) -> (B, 1, ..., C).
    """
    axes = tuple(range(1, len(x.shape) - 1))
    x = ops.cast(x, "float32")
    if y is not None:
        x = x * ops.cast(y, "float32")
    return ops.mean(x, axis=axes, keepdims=True)


def _times_channels(x: Tensor, values: Tensor) -> Tensor:
    """Multiply (B, ..., C) by values (B, 1, ..., C); dtype of x."""
    rows, values = _in_rows(x, values)
    return ops.reshape(rows * values, ops.shape(x))


def _add_channels(x: Tensor, values: Tensor) -> Tensor:
    """Add values (B, 1, ..., C) to (B, ..., C); dtype of x."""
    rows, values = _in_rows(x, values)
    return ops.reshape(rows + values, ops.shape(x))


def _in_rows(x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with the last axis of space folded into the channels.

    (B, I, J, K, C) -> (B, I, J, K C), values repeated K times. Broadcasting a
    few channels costs TensorFlow 1.6 times as much on a CPU as a long row.
    """
    shape = ops.shape(x)
    length = shape[-2]
    rows = ops.reshape(x, (*shape[:-2], length * shape[-1]))
    values = ops.cast(ops.squeeze(values, axis=-2), x.dtype)
    repeats = [1] * (len(shape) - 2) + [length]
    return rows, ops.tile(values, repeats)
