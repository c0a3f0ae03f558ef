"""Dropout whose masks are a function of (seed, step, sample, layer, voxel).

In: features, and the keys that the train step announces.
Out: the same masks for a sample wherever it is computed: in one batch or split
over any number of replicas, before or after a resume.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from tfpartial.types import Tensor

INT32_RANGE = 2**32
# Multipliers of the "lowbias32" integer hash (C. Wellons, "Prospecting for
# hash functions", 2018, public domain).
FIRST_MULTIPLIER = 0x7FEB352D
SECOND_MULTIPLIER = 0x846CA68B


class _Announced(threading.local):
    """Keys of the thread: each replica is traced in a thread of its own."""

    keys: Tensor | None = None


_announced = _Announced()


@contextmanager
def dropout_keys(
    seed: int, step: Tensor, samples: Tensor, stream: int
) -> Iterator[None]:
    """Announce what the masks of all `HashDropout` layers depend on.

    Args:
        seed: of the run.
        step: () integer, optimizer steps completed.
        samples: (B,) integer, number of each row in the *global* batch.
        stream: which network; student and teacher must differ, so that their
            masks are independent.

    Yields:
        Nothing; within the block, in this thread, layers use these keys.
    """
    key = _mix(_int32(seed))
    key = _mix(key + _int32(stream))
    key = _mix(key + ops.cast(ops.convert_to_tensor(step), "int32"))
    samples = ops.cast(ops.convert_to_tensor(samples), "int32")
    before = _announced.keys
    _announced.keys = _mix(key + samples)
    try:
        yield
    finally:
        _announced.keys = before


@keras.saving.register_keras_serializable(package="tfpartial")
class HashDropout(keras.layers.Layer):
    """Inverted dropout with masks from a hash of announced keys.

    Formula:
        y = x * [u >= rate] / (1 - rate)
        u = hash(seed, stream, step, sample, layer, voxel, channel) / 2**32

    Computed in wrapping int32 arithmetic, which is the same on every backend.
    Without announced keys (a training loop that is not ours) masks come from
    `keras.random.dropout`; they then depend on how a batch is split.

    Attributes:
        rate: share of values that are dropped, in [0, 1).
        layer_id: distinguishes the layers of one network.
    """

    def __init__(self, rate: float, layer_id: int, **options: Any) -> None:
        """Store rate and number of the layer.

        Args:
            rate: in [0, 1).
            layer_id: unique within a network; equal in student and teacher.
            **options: of `keras.layers.Layer`.

        Raises:
            ValueError: the rate is outside [0, 1).
        """
        super().__init__(**options)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate: expected 0 <= rate < 1, received {rate}.")
        self.rate = float(rate)
        self.layer_id = int(layer_id)
        self.supports_masking = True
        # Seeded by layer: unkeyed masks of two layers must differ as well.
        self.seed_generator = keras.random.SeedGenerator(
            seed=1_000_003 * (self.layer_id + 1)
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Drop while training; (B, ..., C) -> the same shape and dtype."""
        if not training or self.rate == 0.0:
            return inputs
        if _announced.keys is None:
            return keras.random.dropout(
                inputs, self.rate, seed=self.seed_generator
            )
        return inputs * self._mask(inputs, _announced.keys)

    def _mask(self, inputs: Tensor, keys: Tensor) -> Tensor:
        """Return 0 or 1 / (1 - rate), in the shape and dtype of `inputs`.

        The expensive part of the hash is spent once per voxel and once per
        channel; their combination gets one more round, without which the
        masks of two channels would be copies or complements.
        """
        shape = ops.shape(inputs)
        num_voxels = 1
        for size in shape[1:-1]:
            num_voxels = num_voxels * size
        keys = ops.reshape(_mix(keys + _int32(self.layer_id)), (-1, 1))
        voxels = ops.expand_dims(ops.arange(num_voxels, dtype="int32"), 0)
        voxels = _mix(ops.bitwise_xor(voxels, keys)) + keys
        channels = _mix(ops.arange(shape[-1], dtype="int32") + _int32(1))
        bits = ops.bitwise_xor(ops.expand_dims(voxels, -1), channels)
        bits = bits * _int32(FIRST_MULTIPLIER)
        bits = ops.bitwise_xor(bits, _shift_right(bits, 15))
        bits = bits * _int32(SECOND_MULTIPLIER)
        # Signed numbers from -2**31: the share `rate` of them lies below.
        first_kept = _int32(round(self.rate * INT32_RANGE) - INT32_RANGE // 2)
        dtype = inputs.dtype
        kept = ops.cast(1.0 / (1.0 - self.rate), dtype)
        # A product: `ops.where` costs twice as much on a CPU.
        mask = ops.cast(bits >= first_kept, dtype) * kept
        return ops.reshape(mask, shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape unchanged."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"rate": self.rate, "layer_id": self.layer_id}
        return {**super().get_config(), **own}


def _int32(value: int) -> Tensor:
    """Return a Python integer modulo 2**32 as an int32 scalar."""
    value = int(value) % INT32_RANGE
    signed = value - INT32_RANGE if value >= INT32_RANGE // 2 else value
    return ops.convert_to_tensor(signed, dtype="int32")


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift zeros in from the left; the int32 shift would repeat the sign."""
    remaining = (1 << (32 - places)) - 1
    shifted = ops.right_shift(bits, _int32(places))
    return ops.bitwise_and(shifted, _int32(remaining))


def _mix(bits: Tensor) -> Tensor:
    """Hash int32 -> int32; each input bit changes half of the output bits."""
    bits = ops.bitwise_xor(bits, _shift_right(bits, 16))
    bits = bits * _int32(FIRST_MULTIPLIER)
    bits = ops.bitwise_xor(bits, _shift_right(bits, 15))
    bits = bits * _int32(SECOND_MULTIPLIER)
    return ops.bitwise_xor(bits, _shift_right(bits, 16))
