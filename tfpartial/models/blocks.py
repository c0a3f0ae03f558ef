"""What networks are made of: normalisation, residual blocks, resampling.

In: features (B, I, J, K, C). Out: features.
Functions build layers of a functional model; every layer is named.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from tfpartial.models.group_norm import GroupNorm
from tfpartial.models.hash_dropout import HashDropout
from tfpartial.models.sizes import Normalization
from tfpartial.types import Tensor

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
