"""The dropout mask voxel by voxel, in Python's unbounded integers."""

from __future__ import annotations

import numpy as np

WORD = 2**32


def mix(value: int) -> int:
    """The lowbias32 hash as its author writes it, on an unsigned word."""
    value %= WORD
    value ^= value >> 16
    value = value * 0x7FEB352D % WORD
    value ^= value >> 15
    value = value * 0x846CA68B % WORD
    return value ^ (value >> 16)


def mask(
    shape: tuple[int, ...],
    rate: float,
    *,
    seed: int,
    step: int,
    samples: list[int],
    stream: int,
    layer_id: int,
) -> np.ndarray:
    """True where a value of (B, ..., C) is kept."""
    kept = np.zeros((shape[0], int(np.prod(shape[1:-1])), shape[-1]), bool)
    for b, voxel, channel in np.ndindex(kept.shape):
        key = mix(mix(mix(mix(seed) + stream) + step) + samples[b])
        key = mix(key + layer_id)
        bits = (mix(voxel ^ key) + key) % WORD ^ mix(channel + 1)
        bits = bits * 0x7FEB352D % WORD
        bits ^= bits >> 15
        bits = bits * 0x846CA68B % WORD
        # The layer compares signed words: flip the top bit.
        kept[b, voxel, channel] = bits ^ 2**31 >= round(rate * WORD)
    return kept.reshape(shape)
