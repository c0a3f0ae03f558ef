"""The paper's losses: pure functions of tensors, one value per voxel.

In: stored labels, logits and a candidate table.
Out: unreduced losses, and the one reduction that makes them a scalar.
Before: data (batches), models (logits). After: training.
"""

from tfpartial.losses.candidate_cross_entropy import (
    candidate_cross_entropy,
    informative_voxels,
)
from tfpartial.losses.consistency import consistency
from tfpartial.losses.reduction import Reduction, scalar, weighted_sum

__all__ = [
    "Reduction",
    "candidate_cross_entropy",
    "consistency",
    "informative_voxels",
    "scalar",
    "weighted_sum",
]
