"""Eq. 5: how far the student's prediction is from the teacher's.

In: logits of both networks for the same voxels.
Out: one value per voxel; their `Term`.
"""

from __future__ import annotations

from keras import ops

from tfpartial.losses.reduction import Reduction, weighted_sum
from tfpartial.losses.term import Batch, Term, Weight
from tfpartial.types import Tensor


def consistency(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared difference of two predictions, mean over labels: Eq. (5).

    Counts in every voxel of every case, annotated or not: it is what teaches
    the network about voxels that the annotation leaves open. The teacher
    receives no gradient.

    Formula:
        J_con = mean over labels of (p_stu - p_tea)^2
    Symbols: f_stu -> softmax(student_logits); f_tea ->
        softmax(teacher_logits).

    Args:
        student_logits: (B, I, J, K, L) float, unnormalised; computed in
            float32.
        teacher_logits: (B, I, J, K, L) float, unnormalised.

    Returns:
        (B, I, J, K) float32 in [0, 2/L], not reduced.

    Raises:
        ValueError: the static shapes differ.

    Holds:
        equal logits -> exactly 0; symmetric in value; a constant added to
        all logits of a voxel changes nothing; no gradient to the teacher.

    Example:
        p_stu = (.5, .5), p_tea = (.7, .3): (.04 + .04) / 2 = 0.04

    Source: arXiv 2107.05938, section 2.3. Differs from it in: a mean over
        labels where the paper prints a sum, so that w = 1 means the same for
        any number of labels.
    """
    if tuple(student_logits.shape) != tuple(teacher_logits.shape):
        raise ValueError(
            "expected student and teacher logits of one shape, received "
            f"{tuple(student_logits.shape)} and "
            f"{tuple(teacher_logits.shape)}."
        )
    student = ops.softmax(ops.cast(student_logits, "float32"), axis=-1)
    teacher = ops.softmax(ops.cast(teacher_logits, "float32"), axis=-1)
    difference = student - ops.stop_gradient(teacher)
    return ops.mean(ops.square(difference), axis=-1)


def consistency_term(weight: Weight = 1.0) -> Term:
    """Return the term J_con: the mean of Eq. (5) over all voxels.

    Args:
        weight: w, a number or a ramp w(completed steps).
    """

    def reduce(_: Batch, student: Tensor, teacher: Tensor | None) -> Reduction:
        if teacher is None:
            raise ValueError("term 'consistency': expected a teacher's logits.")
        squares = consistency(student, teacher)
        return weighted_sum(squares, ops.ones_like(squares))

    return Term("consistency", weight, reduce)
