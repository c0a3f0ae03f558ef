"""The cost as a sum of terms: what `MeanTeacher` minimises, Eq. (3).

In: a batch and the logits of student and teacher. Out: one scalar, and the
parts that it was made of. A loss of your own is one more `Term`:
docs/extending/loss_term.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras import ops

from tfpartial.losses.reduction import Reduction, scalar
from tfpartial.types import Tensor

Batch = Mapping[str, Tensor]
Weight = float | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Term:
    """One summand of the cost: weight times a weighted mean.

    Attributes:
        name: in the logs and in metrics.json; unique within a cost.
        weight: a number, or a function of the completed optimizer steps (a
            float32 scalar, exact below 2^24).
        fn: (batch, student_logits, teacher_logits) -> `Reduction` of this
            replica, whose mean over all replicas is the term. Called within
            the student's gradient tape. `batch` is what the model was given;
            without a teacher `teacher_logits` is None. A term of the weights
            ignores all three and counts 1 (`weight_penalty_term`).
    """

    name: str
    weight: Weight
    fn: Callable[[Batch, Tensor, Tensor | None], Reduction]

    def weight_at(self, completed_steps: Tensor) -> Tensor | float:
        """Return the weight after a number of optimizer steps."""
        if callable(self.weight):
            steps = ops.cast(completed_steps, "float32")
            return ops.cast(self.weight(steps), "float32")
        return self.weight


def total_cost(
    terms: Sequence[Term],
    batch: Batch,
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    completed_steps: Tensor,
    sum_over_replicas: Callable[[Tensor], Tensor] = lambda value: value,
) -> tuple[Tensor, list[Reduction]]:
    """This replica's share of the cost: Eq. (3).

    Formula:
        J = sum over terms of w_term(t) * numerator / count
    Symbols: J_cl -> the first of `terms` in a run, J_con -> its
        "consistency"; w(t) -> its weight at t = `completed_steps`.

    Args:
        terms: at least one.
        batch: handed to every term.
        student_logits: (B, I, J, K, L) float.
        teacher_logits: the same, or None.
        completed_steps: t, scalar, optimizer steps before this one.
        sum_over_replicas: all-reduce of a scalar; identity for one replica.

    Returns:
        share: () float32; the shares of all replicas sum to J.
        parts: what each term counted on this replica, in their order.

    Source: arXiv 2107.05938, section 2.3. Differs from it in: any terms may
        be added.
    """
    share: Tensor = 0.0
    parts = []
    for term in terms:
        part = term.fn(batch, student_logits, teacher_logits)
        mean_share = scalar(part, sum_over_replicas)
        share += term.weight_at(completed_steps) * mean_share
        parts.append(part)
    return share, parts
