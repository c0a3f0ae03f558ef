"""What DeepMedic is made of: strided inputs, shortcuts, its block.

In: features (B, I, J, K, C). Out: features.
Source of every rule: Kamnitsas et al., 2017, Medical Image Analysis 36, and
the published program, v0.8.4 (github.com/deepmedic/deepmedic).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from tfpartial.models.hash_dropout import HashDropout
from tfpartial.types import Tensor

# DeepMedic predicts with the plain mean of the last 60 batch statistics, of
# which the mean age is (60 - 1)/2 steps. A moving average of momentum m has
# mean age m/(1 - m); they are equal at m = (60 - 1)/(60 + 1).
BATCHES_REMEMBERED = 60
BATCH_NORM_MOMENTUM = (BATCHES_REMEMBERED - 1) / (BATCHES_REMEMBERED + 1)
# DeepMedic adds the smallest float32, 1.2e-38, which turns the rounding noise
# of a constant channel into features of size 1.
BATCH_NORM_EPSILON = 1e-5
PRELU_SLOPE = 0.01


@keras.saving.register_keras_serializable(package="tfpartial")
class SubsampledInput(layers.Layer):
    """Every `factor`-th voxel of what a pathway sees: no smoothing.

    Formula:
        y_i = x[crop + factor * i],  i = 0 ... ceil((I - 2 crop)/factor) - 1

    Attributes:
        factor: step in voxels.
        crop: voxels left out at each side.
    """

    def __init__(self, factor: int, crop: int, **options: Any) -> None:
        """Store step and crop, in voxels, alike on all three axes."""
        super().__init__(**options)
        self.factor = int(factor)
        self.crop = int(crop)

    def call(self, inputs: Tensor) -> Tensor:
        """Slice (B, I, J, K, C)."""
        taken = slice(self.crop, -self.crop or None, self.factor)
        return inputs[:, taken, taken, taken]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, I', J', K', C); unknown sizes stay unknown."""
        first, *sizes, channels = input_shape
        taken = [
            None if n is None else -(-(n - 2 * self.crop) // self.factor)
            for n in sizes
        ]
        return (first, *taken, channels)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"factor": self.factor, "crop": self.crop}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tfpartial")
class UpsampleLike(layers.Layer):
    """Repeats coarse features; keeps as many voxels as the fine ones have.

    Formula:
        y_i = coarse[floor(i / factor)],  i = 0 ... I - 1

    What is too much is cut off at the far end, not at both.

    Attributes:
        factor: repeats per voxel and axis.
    """

    def __init__(self, factor: int, **options: Any) -> None:
        """Store the number of repeats."""
        super().__init__(**options)
        self.factor = int(factor)

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Upsample inputs[0] (B, i, j, k, C) to the grid of inputs[1]."""
        coarse, fine = inputs
        sizes = ops.shape(fine)
        for axis in (1, 2, 3):
            coarse = ops.repeat(coarse, self.factor, axis=axis)
        return coarse[:, : sizes[1], : sizes[2], : sizes[3]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the fine grid with the coarse channels."""
        coarse, fine = input_shape
        return (*fine[:4], coarse[4])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="tfpartial")
class AddCentre(layers.Layer):
    """Shortcut without weights: adds the centre of earlier features.

    Channels that the earlier features lack get nothing added; channels that
    they have too many (widths that shrink) are left out from the end.

    Attributes:
        crop: voxels by which the earlier features are larger at each side.
    """

    def __init__(self, crop: int, **options: Any) -> None:
        """Store the crop, in voxels."""
        super().__init__(**options)
        self.crop = int(crop)

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Add inputs[1] (earlier, larger) to inputs[0]; shape of inputs[0]."""
        later, earlier = inputs
        taken = slice(self.crop, -self.crop or None)
        centre = earlier[:, taken, taken, taken, : later.shape[-1]]
        missing = later.shape[-1] - centre.shape[-1]
        return later + ops.pad(centre, [[0, 0]] * 4 + [[0, missing]])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the later features."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "crop": self.crop}


@keras.saving.register_keras_serializable(package="tfpartial")
class MirrorPad(layers.Layer):
    """Pads one voxel at each side by mirroring: repeats the one at the edge.

    Joined from slices, since `ops.pad` cannot mirror three of five axes on
    every backend.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Pad (B, I, J, K, C) to (B, I + 2, J + 2, K + 2, C)."""
        x = ops.concatenate([inputs[:, :1], inputs, inputs[:, -1:]], axis=1)
        x = ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)
        return ops.concatenate([x[:, :, :, :1], x, x[:, :, :, -1:]], axis=3)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the padded shape; unknown sizes stay unknown."""
        first, *sizes, channels = input_shape
        padded = [None if n is None else n + 2 for n in sizes]
        return (first, *padded, channels)


@keras.saving.register_keras_serializable(package="tfpartial")
class AddBias(layers.Layer):
    """Adds one learnt number per channel, at first 0."""

    def build(self, input_shape: Any) -> None:
        """Create the bias, (C,)."""
        self.bias = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Add it to (B, I, J, K, C)."""
        return inputs + ops.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape unchanged."""
        return input_shape


@keras.saving.register_keras_serializable(package="tfpartial")
class MaskDropout(HashDropout):
    """Dropout as DeepMedic has it: a mask to train, a factor to predict.

    Formula:
        training:   y = x * [u >= rate]
        prediction: y = x * (1 - rate)

    Inverted dropout, divided by 1 - rate in both, is the same function of
    other weights, but initial weights, learning rate and L1/L2 of the
    published protocol refer to this one.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Drop while training, else scale; same shape and dtype."""
        inverted = super().call(inputs, training=training)
        return inverted * ops.cast(1.0 - self.rate, inverted.dtype)


@dataclass(frozen=True)
class Blocks:
    """Makes the blocks of one network: norm, activation, dropout, conv.

    Attributes:
        seed: of the initial weights.
    """

    seed: int

    def activate(self, x: Tensor, name: str) -> Tensor:
        """Add batch norm and a PReLU with one slope per channel."""
        # As in `blocks.normalize`: only TensorFlow has replicas to synchronise.
        x = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=BATCH_NORM_EPSILON,
            synchronized=keras.backend.backend() == "tensorflow",
            name=f"{name}_norm",
        )(x)
        return layers.PReLU(
            alpha_initializer=keras.initializers.Constant(PRELU_SLOPE),
            shared_axes=[1, 2, 3],
            name=f"{name}_prelu",
        )(x)

    def convolution(
        self, x: Tensor, filters: int, size: int, name: str, **options: Any
    ) -> Tensor:
        """Add dropout's successor: a convolution without padding.

        W ~ N(0, 2 / (size**3 C_in)), not truncated.
        """
        # One seed for all layers would make layers of equal shape equal.
        seed = zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF
        return layers.Conv3D(
            filters,
            size,
            padding="valid",
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_in", "untruncated_normal", seed=seed
            ),
            name=f"{name}_conv",
            **{"use_bias": False, **options},
        )(x)

    def drop(self, x: Tensor, rate: float, layer_id: int, name: str) -> Tensor:
        """Add dropout, or nothing at rate 0."""
        if rate == 0.0:
            return x
        return MaskDropout(rate, layer_id, name=f"{name}_dropout")(x)
