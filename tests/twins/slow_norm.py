"""Group normalisation, one sample and one group at a time, in float64."""

from __future__ import annotations

import numpy as np


def group_norm(
    x: np.ndarray,
    num_groups: int,
    gamma: np.ndarray,
    beta: np.ndarray,
    epsilon: float,
) -> np.ndarray:
    """(x - mean) / sd of each group, times gamma, plus beta."""
    result = np.zeros(x.shape)
    width = x.shape[-1] // num_groups
    for sample in range(x.shape[0]):
        for group in range(num_groups):
            part = slice(group * width, (group + 1) * width)
            values = x[sample, ..., part].astype(np.float64)
            normal = (values - values.mean()) / np.sqrt(values.var() + epsilon)
            result[sample, ..., part] = normal * gamma[part] + beta[part]
    return result
