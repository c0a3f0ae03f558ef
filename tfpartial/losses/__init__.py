"""The paper's losses: pure functions of tensors, one value per voxel.

In: stored labels, logits and a candidate table; kernels, for their penalty.
Out: unreduced losses, the one reduction that makes them a scalar, and the
`Term`s whose weighted sum a run minimises.
Before: data (batches), models (logits). After: training.
"""

from tfpartial.losses.candidate_cross_entropy import (
    candidate_cross_entropy,
    informative_voxels,
    supervised_term,
)
from tfpartial.losses.candidate_soft_dice import (
    candidate_soft_dice,
    soft_dice_term,
)
from tfpartial.losses.consistency import consistency, consistency_term
from tfpartial.losses.reduction import Reduction, scalar, weighted_sum
from tfpartial.losses.term import Term, total_cost
from tfpartial.losses.weight_penalty import (
    convolution_kernels,
    weight_penalty,
    weight_penalty_term,
)

__all__ = [
    "Reduction",
    "Term",
    "candidate_cross_entropy",
    "candidate_soft_dice",
    "consistency",
    "consistency_term",
    "convolution_kernels",
    "informative_voxels",
    "scalar",
    "soft_dice_term",
    "supervised_term",
    "total_cost",
    "weight_penalty",
    "weight_penalty_term",
    "weighted_sum",
]
