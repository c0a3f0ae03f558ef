"""DeepMedic with 2 and 3 channels a layer, for its tests."""

from __future__ import annotations

import keras
import numpy as np

# 2 and 3 channels, all layers and shortcuts of the wide one.
NARROW = {
    "num_labels": 3,
    "widths": [2, 3, 2, 3, 3, 3, 3, 3],
    "fc_widths": [3, 9],
}


def cube(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A noise image (1, n + 80, ..., C): context for n voxels of output."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, *[n + 80] * 3, channels)).astype(np.float32)


def randomise(network: keras.Model, seed: int = 0) -> None:
    """Statistics, gammas, slopes and biases away from 0 and 1."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        if "kernel" in variable.path:
            continue
        shape = variable.shape
        positive = "variance" in variable.path or "gamma" in variable.path
        around_1 = rng.uniform(0.5, 1.5, shape)
        variable.assign(around_1 if positive else rng.normal(0, 0.3, shape))
