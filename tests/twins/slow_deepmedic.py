"""DeepMedic's forward pass in numpy: coordinates, loops, float64.

Written from the layer table and the coordinates of the published program,
not from the network it checks: inputs are gathered voxel by voxel from the
scan, convolutions are sums over offsets, the mirror is an index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, Sequence[np.ndarray]]


def subsampled(image: np.ndarray, n: int, factor: int, deep: int) -> np.ndarray:
    """Voxels o - deep f + f i of a cube (I, I, I, C), o the first output."""
    first_output = (image.shape[0] - n) // 2
    count = int(np.ceil(n / factor)) + 2 * deep
    at = [first_output - deep * factor + factor * i for i in range(count)]
    assert min(at) >= 0
    result = np.zeros((count, count, count, image.shape[-1]))
    for a, i in enumerate(at):
        for b, j in enumerate(at):
            for c, k in enumerate(at):
                result[a, b, c] = image[i, j, k]
    return result


def convolution(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Sum over the offsets of a kernel (k, k, k, C, D), no padding."""
    size = kernel.shape[0]
    n = x.shape[0] - size + 1
    result = np.zeros((n, n, n, kernel.shape[-1]))
    for a in range(size):
        for b in range(size):
            for c in range(size):
                part = x[a : a + n, b : b + n, c : c + n]
                result += np.einsum("ijkc,cd->ijkd", part, kernel[a, b, c])
    return result


def activated(
    x: np.ndarray, weights: Weights, name: str, epsilon: float
) -> np.ndarray:
    """Batch norm with stored statistics, then x or alpha x."""
    gamma, beta, mean, variance = weights[f"{name}_norm"]
    y = gamma * (x - mean) / np.sqrt(variance + epsilon) + beta
    alpha = np.reshape(weights[f"{name}_prelu"][0], -1)
    return np.where(y > 0, y, alpha * y)


def plus_centre(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Add the centre of earlier features to the channels both have."""
    result = later.copy()
    n = later.shape[0]
    crop = (earlier.shape[0] - n) // 2
    common = min(later.shape[-1], earlier.shape[-1])
    for channel in range(common):
        result[..., channel] += earlier[
            crop : crop + n, crop : crop + n, crop : crop + n, channel
        ]
    return result


def pathway(
    x: np.ndarray,
    weights: Weights,
    factor: int,
    residual_layers: Sequence[int],
    kept: Sequence[float],
    epsilon: float,
) -> np.ndarray:
    """Layers 1 ... P of one pathway; kept[l - 1] scales the input of l."""
    inputs = {}
    for layer in range(1, len(kept) + 1):
        inputs[layer] = x
        name = f"x{factor}_layer{layer}"
        if layer == 1:
            y = x + weights[f"{name}_bias"][0]
        else:
            y = activated(x, weights, name, epsilon)
        x = convolution(kept[layer - 1] * y, weights[f"{name}_conv"][0])
        if layer in residual_layers:
            x = plus_centre(x, inputs[layer - 1])
    return x


def repeated(coarse: np.ndarray, n: int, factor: int) -> np.ndarray:
    """Output voxel i takes coarse voxel floor(i / factor)."""
    result = np.zeros((n, n, n, coarse.shape[-1]))
    for i in range(n):
        for j in range(n):
            for k in range(n):
                result[i, j, k] = coarse[i // factor, j // factor, k // factor]
    return result


def mirrored(x: np.ndarray) -> np.ndarray:
    """One voxel more at each side: index -1 is 0, index n is n - 1."""
    n = x.shape[0]
    at = [0, *range(n), n - 1]
    return x[np.ix_(at, at, at)]


def logits(
    image: np.ndarray,
    weights: Weights,
    *,
    n: int,
    residual_layers: Sequence[int],
    fc_residual_layers: Sequence[int],
    rates: Sequence[float],
    fc_rates: Sequence[float],
    epsilon: float,
) -> np.ndarray:
    """Logits (n, n, n, L) of one cube (n + 10 P, ..., C)."""
    kept = [1 - rate for rate in rates]
    parts = []
    for factor in (1, 3, 5):
        x = subsampled(image, n, factor, len(rates))
        x = pathway(x, weights, factor, residual_layers, kept, epsilon)
        parts.append(repeated(x, n, factor))
    x = np.concatenate(parts, axis=-1)
    inputs = {}
    for layer, rate in enumerate(fc_rates, start=1):
        inputs[layer] = x
        y = (1 - rate) * activated(x, weights, f"fc{layer}", epsilon)
        if layer == 1:
            y = mirrored(y)
        kernel, *bias = weights[f"fc{layer}_conv"]
        x = convolution(y, kernel) + (bias[0] if bias else 0.0)
        if layer in fc_residual_layers:
            x = plus_centre(x, inputs[layer - 1])
    return x
