"""What networks are made of: normalisation, residual blocks, resampling.

In: features (B, I, J, K, C). Out: features.
Functions build layers of a functional model; every layer is named.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from tfpartial.models.hash_dropout import HashDropout

Tensor = Any
Normalization = Literal["group", "instance", "batch"]

CHANNELS_PER_GROUP = 8


@keras.saving.register_keras_serializable(package="tfpartial")
class PatchNetwork(keras.Model):
    """A functional model that says which input sizes it takes.

    Attributes:
        context_voxels: voxels per axis that the output lacks at each side.
        divisor: input sizes must be a multiple of it.
    """

    context_voxels: tuple[int, int, int] = (0, 0, 0)
    divisor: int = 1

    def get_config(self) -> dict[str, Any]:
        """Return the functional config and the two attributes."""
        own = {
            "context_voxels": list(self.context_voxels),
            "divisor": self.divisor,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> PatchNetwork:
        """Rebuild the network from `get_config`."""
        config = dict(config)
        context = config.pop("context_voxels")
        divisor = config.pop("divisor")
        network = super().from_config(config, custom_objects=custom_objects)
        network.context_voxels = tuple(context)
        network.divisor = divisor
        return network


@keras.saving.register_keras_serializable(package="tfpartial")
class GroupNorm(keras.layers.Layer):
    """Group normalisation in as few passes over memory as can be.

    Formula:
        y = gamma * (x - mean_g) / sqrt(variance_g + epsilon) + beta
          = x * scale + offset

    mean_g and variance_g are those of the channels of one group over all
    voxels of one sample, from the sums of x and x^2 per channel (float32).
    Folded into scale and offset per sample and channel it touches the features
    three times, and costs 0.4 of `keras.layers.GroupNormalization` on a CPU.

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
        self.gamma = self.add_weight(
            shape=(channels,), initializer="ones", name="gamma"
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Normalise (B, ..., C); same shape and dtype."""
        axes = tuple(range(1, len(inputs.shape) - 1))
        exact = ops.cast(inputs, "float32")
        mean = self._of_group(ops.mean(exact, axis=axes, keepdims=True))
        square = ops.mean(ops.square(exact), axis=axes, keepdims=True)
        square = self._of_group(square)
        # Rounding can take the difference below 0 where a group is constant.
        variance = ops.maximum(square - ops.square(mean), 0.0)
        gamma = ops.cast(self.gamma, "float32")
        beta = ops.cast(self.beta, "float32")
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        offset = beta - mean * scale
        dtype = inputs.dtype
        return inputs * ops.cast(scale, dtype) + ops.cast(offset, dtype)

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


def normalize(x: Tensor, kind: Normalization, name: str) -> Tensor:
    """Add a normalisation layer.

    Args:
        x: (B, I, J, K, C).
        kind: "group" (8 channels a group), "instance" or "batch".
        name: of the layer.

    Returns:
        (B, I, J, K, C).

    Raises:
        ValueError: unknown kind.
    """
    channels = x.shape[-1]
    if kind == "group":
        whole = channels % CHANNELS_PER_GROUP == 0
        groups = channels // CHANNELS_PER_GROUP if whole else 1
        return GroupNorm(groups, name=name)(x)
    if kind == "instance":
        return GroupNorm(-1, name=name)(x)
    if kind == "batch":
        # Only TensorFlow has replicas whose moving statistics could part, and
        # only there Keras offers the argument.
        synchronized = keras.backend.backend() == "tensorflow"
        return layers.BatchNormalization(synchronized=synchronized, name=name)(
            x
        )
    raise ValueError(
        f"normalization: expected group, instance or batch, received '{kind}'."
    )


@dataclass(frozen=True)
class Parts:
    """Makes the layers of one network, all alike in norm and seed.

    Attributes:
        normalization: kind of normalisation.
        seed: of the initial weights.
    """

    normalization: Normalization
    seed: int

    def _initializer(self, name: str) -> keras.Initializer:
        """Return He initialisation with a seed of the layer's own.

        One seed for all layers would make layers of equal shape equal.
        """
        seed = zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF
        return keras.initializers.HeNormal(seed=seed)

    def convolution(
        self,
        x: Tensor,
        filters: int,
        name: str,
        *,
        size: int = 3,
        stride: int = 1,
    ) -> Tensor:
        """Add a convolution without bias (a normalisation follows)."""
        return layers.Conv3D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=self._initializer(name),
            name=name,
        )(x)

    def residual_block(self, x: Tensor, filters: int, name: str) -> Tensor:
        """Add relu(norm(conv(relu(norm(conv(x))))) + x).

        The shortcut is a 1x1x1 convolution where the channels change.
        """
        kind = self.normalization
        y = self.convolution(x, filters, f"{name}_conv1")
        y = layers.ReLU(name=f"{name}_relu1")(
            normalize(y, kind, f"{name}_norm1")
        )
        y = self.convolution(y, filters, f"{name}_conv2")
        y = normalize(y, kind, f"{name}_norm2")
        if x.shape[-1] != filters:
            x = self.convolution(x, filters, f"{name}_shortcut", size=1)
        y = layers.Add(name=f"{name}_add")([y, x])
        return layers.ReLU(name=f"{name}_relu2")(y)

    def downsample(
        self, x: Tensor, filters: int, kind: str, name: str
    ) -> Tensor:
        """Halve the grid: "strided" (2x2x2 convolution) or "max" (pool).

        Raises:
            ValueError: unknown kind.
        """
        if kind == "strided":
            y = self.convolution(x, filters, name, size=2, stride=2)
            return normalize(y, self.normalization, f"{name}_norm")
        if kind == "max":
            return layers.MaxPooling3D(2, name=name)(x)
        raise ValueError(
            f"downsampling: expected strided or max, received '{kind}'."
        )

    def upsample(self, x: Tensor, filters: int, kind: str, name: str) -> Tensor:
        """Double the grid: "transposed" (2x2x2) or "nearest" (then 1x1x1).

        Raises:
            ValueError: unknown kind.
        """
        if kind == "transposed":
            return layers.Conv3DTranspose(
                filters,
                2,
                strides=2,
                padding="same",
                kernel_initializer=self._initializer(name),
                name=name,
            )(x)
        if kind == "nearest":
            # Convolving first is the same function on an eighth of the voxels.
            x = self.convolution(x, filters, f"{name}_conv", size=1)
            return layers.UpSampling3D(2, name=name)(x)
        raise ValueError(
            f"upsampling: expected transposed or nearest, received '{kind}'."
        )

    def drop(self, x: Tensor, rate: float, layer_id: int, name: str) -> Tensor:
        """Add dropout, or nothing at rate 0."""
        if rate == 0.0:
            return x
        return HashDropout(rate, layer_id, name=name)(x)

    def head(self, x: Tensor, num_labels: int, name: str) -> Tensor:
        """Add the 1x1x1 convolution to float32 logits, under any policy."""
        seed = zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF
        return layers.Conv3D(
            num_labels,
            1,
            kernel_initializer=keras.initializers.GlorotNormal(seed=seed),
            dtype="float32",
            name=name,
        )(x)
