"""Eq. 2 and 4: cross entropy against the set of labels a voxel may be.

In: stored labels, logits, the candidate table of each sample.
Out: one loss per voxel, and which voxels carry information; their `Term`.
"""

from __future__ import annotations

from keras import ops

from tfpartial.losses.reduction import Reduction, weighted_sum
from tfpartial.losses.term import Batch, Term, Weight
from tfpartial.types import Tensor

# Stands for log(0). Finite, so that no inf - inf can make a NaN; so large
# that adding any logit to it changes nothing in float32.
LOG_ZERO = -1e30


def candidate_cross_entropy(
    labels: Tensor, logits: Tensor, candidates: Tensor
) -> Tensor:
    """Cross entropy against the candidate set S of each voxel: Eq. (2).

    A stored value does not name one label but the set of labels that the
    voxel may be: {l} where l is annotated, background and every label that is
    not annotated for stored background, several for a merged structure, all
    where nothing is known.

    Formula:
        H(x, S) = -log(sum of p_c over S)
                = logsumexp(logits) - logsumexp(logits over S)
        computed as softplus(logsumexp(logits over the rest)
                             - logsumexp(logits over S)), which is never
        negative, loses no digits where H is small, and is exactly 0 with
        exactly no gradient where S is everything.
    Symbols: f(x, theta) -> softmax(logits); {y_bg} union Y_o,k -> the row of
        `candidates` for stored value 0; y -> labels. Eq. (4) is the same
        function: all rows of a sample of D_U are all true. The sum over
        voxels and databases, Eq. (1), is `reduction.weighted_sum`.

    Args:
        labels: (B, I, J, K) integer, stored values in [0, V).
        logits: (B, I, J, K, L) float, unnormalised; computed in float32.
        candidates: (B, V, L) bool, labels that each stored value may be, per
            sample; no row empty.

    Returns:
        (B, I, J, K) float32, nats, >= 0, not reduced (see reduction.py).

    Raises:
        ValueError: static shapes disagree.

    Holds:
        all annotated -> ordinary cross entropy; nothing annotated -> exactly
        0 and no gradient; permuting logits inside S changes nothing;
        gradients are finite for logits of +-1e4.

    Example:
        p = (.5, .3, .2), S = {0, 2}: -log(.5 + .2) = 0.357

    Source: arXiv 2107.05938, section 2.2. Differs from it in: any candidate
        set (the paper has {y} and {y_bg} union Y_o,k; its printed "cap" is a
        union).
    """
    _check_shapes(labels, logits, candidates)
    logits = ops.cast(logits, "float32")
    outside = ops.where(candidates, LOG_ZERO, 0.0)
    # Adding one of two float tables is half the memory traffic of selecting
    # with a bool per voxel and label.
    hide_outside = _row_of_each_voxel(LOG_ZERO - outside, labels)
    hide_inside = LOG_ZERO - hide_outside
    inside = ops.logsumexp(logits + hide_outside, axis=-1)
    rest = ops.logsumexp(logits + hide_inside, axis=-1)
    return ops.softplus(rest - inside)


def informative_voxels(labels: Tensor, candidates: Tensor) -> Tensor:
    """Where the label of a voxel is not left entirely open: |S| < L, Eq. (2).

    These are the voxels that the supervised loss is averaged over.

    Args:
        labels: (B, I, J, K) integer, stored values in [0, V).
        candidates: (B, V, L) bool.

    Returns:
        (B, I, J, K) float32: 1 where |S| < L, else 0.
    """
    everything = ops.all(candidates, axis=-1)
    known = 1.0 - ops.cast(everything, "float32")
    return _row_of_each_voxel(known, labels)


def supervised_term(weight: Weight = 1.0) -> Term:
    """Return the term J_ace: the mean of Eq. (2) over informative voxels."""

    def reduce(batch: Batch, logits: Tensor, _: Tensor | None) -> Reduction:
        labels, candidates = batch["labels"], batch["candidates"]
        return weighted_sum(
            candidate_cross_entropy(labels, logits, candidates),
            informative_voxels(labels, candidates),
        )

    return Term("supervised", weight, reduce)


def _row_of_each_voxel(table: Tensor, labels: Tensor) -> Tensor:
    """Return table[b, labels[b, i, j, k]]: (B, V, ...) -> (B, I, J, K, ...).

    One gather in the (B * V, ...) table. The row numbers are computed in
    float32, exact below 2**24: TensorFlow keeps int32 sums on the host, which
    would move every label map off an accelerator and back.
    """
    shape = ops.shape(table)
    num_values = table.shape[1]
    first = ops.cast(ops.arange(shape[0]), "float32") * float(num_values)
    rows = ops.cast(labels, "float32") + ops.reshape(first, (-1, 1, 1, 1))
    flat = ops.reshape(table, (-1, *table.shape[2:]))
    return ops.take(flat, ops.cast(rows, "int32"), axis=0)


def _check_shapes(labels: Tensor, logits: Tensor, candidates: Tensor) -> None:
    """Compare what is known before the step runs."""
    given = (
        f"labels {tuple(labels.shape)}, logits {tuple(logits.shape)}, "
        f"candidates {tuple(candidates.shape)}"
    )
    if len(labels.shape) != 4 or len(logits.shape) != 5:
        raise ValueError(
            "expected labels (B, I, J, K) and logits (B, I, J, K, L), "
            f"received {given}."
        )
    if len(candidates.shape) != 3:
        raise ValueError(f"expected candidates (B, V, L), received {given}.")
    pairs = [
        *zip(labels.shape, logits.shape[:-1], strict=True),
        (candidates.shape[0], labels.shape[0]),
        (candidates.shape[-1], logits.shape[-1]),
    ]
    if any(a is not None and b is not None and a != b for a, b in pairs):
        raise ValueError(
            "labels (B, I, J, K), logits (B, I, J, K, L) and candidates "
            f"(B, V, L) must agree in B, I, J, K and L, received {given}."
        )
