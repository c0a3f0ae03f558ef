"""Where windows stand and what they weigh: numpy, shared by both paths.

In: a scan shape, a window shape, an overlap. Out: starts, weights, padding.
Integer arithmetic only, so that the graph of the export repeats it exactly.
"""

from __future__ import annotations

import numpy as np

from tfpartial.errors import InputError
from tfpartial.types import Shape3

# A Gaussian of sigma = window / 8 (Isensee et al. 2021, nnU-Net): the centre
# of a window, which sees most context, decides; its border hardly counts.
SIGMAS_PER_WINDOW = 8.0


def window_stride(window: int, overlap: float) -> int:
    """Return the largest step between windows, in voxels, at least 1."""
    return max(1, int(window * (1.0 - overlap)))


def window_starts(size: int, window: int, overlap: float) -> np.ndarray:
    """Return where windows start along one axis, first 0, last at the end.

    Formula:
        n = 1 + ceil((size - window) / stride)
        start_m = floor(m (size - window) / (n - 1))

    Args:
        size: voxels, at least `window` (pad the scan first).
        window: voxels.
        overlap: share of a window that its neighbour covers at least.

    Returns:
        (n,) int64, increasing; every voxel is inside a window.

    Raises:
        ValueError: the size is below the window.
    """
    if size < window:
        raise ValueError(f"expected size >= {window}, received {size}")
    room = size - window
    count = 1 + -(-room // window_stride(window, overlap))
    return np.arange(count) * room // max(count - 1, 1)


def gaussian_profile(window: int) -> np.ndarray:
    """Return (window,) float64 weights along one axis, largest 1.

    Formula:
        exp(-(x - (window - 1)/2)^2 / (2 (window/8)^2))
    """
    offsets = np.arange(window) - (window - 1) / 2
    profile = np.exp(-0.5 * (offsets * SIGMAS_PER_WINDOW / window) ** 2)
    return profile / profile.max()


def gaussian_weights(window_shape: Shape3) -> np.ndarray:
    """Return (i, j, k) float32 weights of a window, all positive."""
    i, j, k = (gaussian_profile(size) for size in window_shape)
    weights = i[:, None, None] * j[None, :, None] * k[None, None, :]
    return weights.astype(np.float32)


def padding_to_window(
    shape: Shape3, window_shape: Shape3
) -> tuple[tuple[int, int], ...]:
    """Return (before, after) voxels per axis that make a scan fit a window.

    A scan smaller than the window is centred in it; else nothing is added.
    """
    missing = [max(w - s, 0) for s, w in zip(shape, window_shape, strict=True)]
    return tuple((m // 2, m - m // 2) for m in missing)


def check_window(
    window_shape: Shape3,
    context_voxels: Shape3,
    divisor: object,
    field: str = "predict.window_shape",
) -> None:
    """Check that a network accepts windows of a shape.

    Args:
        window_shape: voxels of the *output* window.
        context_voxels: what the network needs on each side beyond it.
        divisor: int or three ints that divide the input shape.
        field: of the config, to name in the message.

    Raises:
        InputError: the input window is not a multiple of the divisor.
    """
    divisors = np.broadcast_to(np.asarray(divisor, int), (3,))
    given = np.asarray(window_shape) + 2 * np.asarray(context_voxels)
    if (given % divisors).any() or min(window_shape) < 1:
        raise InputError(
            f"{field}: this network takes input windows that are multiples "
            f"of {divisors.tolist()}, found {given.tolist()}. Choose another "
            f"shape (predict.window_shape=null is the training patch)."
        )
