"""L1 and L2 of convolution kernels: a cost of the weights, not of voxels.

In: kernels of a network. Out: one number; its `Term`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from keras import Model, ops

from tfpartial.losses.reduction import Reduction
from tfpartial.losses.term import Batch, Term
from tfpartial.types import Tensor

_KERNEL_RANK = 5  # three axes of space, channels in, channels out


def convolution_kernels(variables: Iterable[Any]) -> list[Any]:
    """Return those variables that are kernels of 3D convolutions.

    Their rank tells: scales, offsets, biases and the slopes of a PReLU have
    fewer axes, whatever layer of whatever network they belong to.

    Args:
        variables: trainable variables of a network with 3D convolutions.

    Returns:
        The variables of rank 5, those of a 1x1x1 classifier among them.
    """
    return [v for v in variables if len(v.shape) == _KERNEL_RANK]


def weight_penalty(kernels: Sequence[Tensor], l1: float, l2: float) -> Tensor:
    """L1 and L2 penalty of a network's kernels.

    Formula:
        R = l1 sum |W| + l2 sum W^2     (no 1/2)

    Args:
        kernels: tensors of any shape; computed in float32.
        l1: times the sum of absolute values, >= 0.
        l2: times the sum of squares, >= 0.

    Returns:
        () float32.

    Holds:
        no kernels -> 0; it does not depend on the batch.

    Example:
        W = (1, -2), l1 = .1, l2 = .01: .1 * 3 + .01 * 5 = 0.35

    Source: DeepMedic v0.8.4 (1e-6 and 1e-4 of all convolution kernels).
    """
    total = ops.zeros((), "float32")
    for kernel in kernels:
        weights = ops.cast(kernel, "float32")
        if l1:
            total += l1 * ops.sum(ops.abs(weights))
        if l2:
            total += l2 * ops.sum(ops.square(weights))
    return total


def weight_penalty_term(student: Model, l1: float, l2: float) -> Term:
    """Return the term R of a network's convolution kernels.

    Every replica holds the same kernels and counts 1: as shares and gradients
    are summed over replicas, R is counted once, however many there are.

    Args:
        student: built; its trainable variables are looked up in each step.
        l1: as in `weight_penalty`.
        l2: as in `weight_penalty`.
    """

    def reduce(*_: Batch | Tensor | None) -> Reduction:
        kernels = convolution_kernels(student.trainable_variables)
        penalty = weight_penalty(kernels, l1, l2)
        return Reduction(penalty, ops.ones_like(penalty))

    return Term("weight_penalty", 1.0, reduce)
