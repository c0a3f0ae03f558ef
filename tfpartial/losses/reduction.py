"""The one place where losses per voxel become a scalar, across replicas.

In: values per voxel and their weights.
Out: numerator and count, kept apart until both are summed over replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from tfpartial.types import Tensor


class Reduction(NamedTuple):
    """A weighted sum that is not yet a mean.

    Attributes:
        numerator: () float32, sum of weight * value.
        count: () float32, sum of the weights.
    """

    numerator: Tensor
    count: Tensor


def _identity(value: Tensor) -> Tensor:
    """Return what one replica alone counts."""
    return value


def weighted_sum(values: Tensor, weights: Tensor) -> Reduction:
    """Sum values and weights over this replica's voxels: the sum of Eq. (1).

    Formula:
        numerator = sum_i w_i v_i,   count = sum_i w_i

    Args:
        values: (B, I, J, K) float, one loss per voxel.
        weights: the same shape, >= 0; 1 where the voxel is counted.

    Returns:
        Reduction of two float32 scalars.
    """
    values = ops.cast(values, "float32")
    weights = ops.cast(weights, "float32")
    return Reduction(ops.sum(values * weights), ops.sum(weights))


def scalar(
    reduction: Reduction,
    sum_over_replicas: Callable[[Tensor], Tensor] = _identity,
) -> Tensor:
    """This replica's share of the mean over the global batch: Eq. (1).

    A mean of means would be wrong as soon as replicas count different numbers
    of voxels. The shares (and with them the gradients) are to be *summed*
    over replicas, which is what the optimizers of Keras on TensorFlow do.

    Formula:
        share_r = numerator_r / sum over replicas of count;  0 if that is 0

    Args:
        reduction: numerator and count of this replica.
        sum_over_replicas: all-reduce of a scalar; identity for one replica.

    Returns:
        () float32.

    Holds:
        shares of any split of a batch add up to the mean of the whole;
        nothing counted -> exactly 0 and no gradient.
    """
    count = ops.stop_gradient(sum_over_replicas(reduction.count))
    # Divide by 1 where nothing counts: the numerator is then exactly 0 too.
    divisor = ops.where(count > 0.0, count, ops.ones_like(count))
    return reduction.numerator / divisor
