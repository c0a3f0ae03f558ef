"""The paper's losses: pure functions of tensors, one value per voxel.

In: stored labels, logits and a candidate table; kernels, for their penalty.
Out: unreduced losses, and the one reduction that makes them a scalar.
Before: data (batches), models (logits). After: training.
"""

from tfpartial.losses.candidate_cross_entropy import (
    candidate_cross_entropy,
    informative_voxels,
)
from tfpartial.losses.candidate_soft_dice import candidate_soft_dice
from tfpartial.losses.consistency import consistency
from tfpartial.losses.reduction import Reduction, scalar, weighted_sum
from tfpartial.losses.weight_penalty import convolution_kernels, weight_penalty

__all__ = [
    "Reduction",
    "candidate_cross_entropy",
    "candidate_soft_dice",
    "consistency",
    "convolution_kernels",
    "informative_voxels",
    "scalar",
    "weight_penalty",
    "weighted_sum",
]
