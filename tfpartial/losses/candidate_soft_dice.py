"""Soft Dice against candidate sets: overlap where the annotation decides.

In: stored values, logits, the candidate table of each sample.
Out: one value per sample and stored value, and which of them count; their
`Term`.
"""

from __future__ import annotations

from keras import ops

from tfpartial.losses.reduction import Reduction, weighted_sum
from tfpartial.losses.term import Batch, Term, Weight
from tfpartial.types import Tensor


def candidate_soft_dice(
    labels: Tensor, logits: Tensor, candidates: Tensor
) -> tuple[Tensor, Tensor]:
    """One minus the soft Dice of every structure that a sample annotates.

    Not of the paper: an addition for short runs, in which the cross entropy
    alone never finds a small organ. It is added to every system alike.

    A structure is a stored value v whose candidate set S_v names labels but
    not background: {l}, or {left, right} for a merged mask. Its probability
    is that of the set, so merged labels may share it as they like. Voxels
    that the annotation leaves open towards it (a merged mask towards one of
    its labels; ignore) do not count; background does, because it excludes
    every annotated label.

    Formula:
        q_v = sum of p_c over S_v
        D_v = 2 sum_{u in v} q_v / (sum_{u in v or u apart} q_v + n_v)
        value = 1 - D_v
    Symbols: u -> the stored value of a voxel; "u in v": S_u is a subset of
        S_v; "u apart": S_u and S_v are disjoint; n_v -> voxels with u in v.

    Args:
        labels: (B, I, J, K) integer, stored values in [0, V).
        logits: (B, I, J, K, L) float, unnormalised; computed in float32.
        candidates: (B, V, L) bool.

    Returns:
        values: (B, V) float32 in [0, 1]; 0 where not counted.
        counted: (B, V) float32, 1 where v is a structure with voxels in the
            patch. To be reduced by `reduction.weighted_sum`.

    Holds:
        permuting logits inside a candidate set of all voxels changes nothing;
        nothing annotated -> nothing counted and no gradient; adding a voxel
        that is left open changes nothing.

    Example:
        one voxel of {1} with p_1 = .8, one of {bg} with p_1 = .2:
        D = 2 * .8 / (.8 + .2 + 1) = .8, value = .2

    Source: Milletari et al., 2016, arXiv 1606.04797 (without squares), over
        merged probabilities as in Shi et al., 2021, arXiv 2007.03868.
    """
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    num_labels = probabilities.shape[-1]
    num_values = candidates.shape[1]
    stored = ops.one_hot(
        ops.reshape(labels, (-1, _voxels(labels))), num_values, dtype="float32"
    )
    flat = ops.reshape(probabilities, (-1, _voxels(labels), num_labels))
    # (B, V, L): probability of each label over the voxels of each value. All
    # sums of the formula are sums of its entries.
    mass = ops.matmul(ops.transpose(stored, (0, 2, 1)), flat)
    voxels = ops.expand_dims(ops.sum(stored, axis=1), -1)  # (B, V, 1)

    sets = ops.cast(candidates, "float32")
    # (B, U, V): probability of the set of v over the voxels of u.
    of_set = ops.matmul(mass, ops.transpose(sets, (0, 2, 1)))
    inside, apart = _relations(sets)
    both = ops.sum(inside * of_set, axis=1)
    predicted = ops.sum((inside + apart) * of_set, axis=1)
    reference = ops.sum(inside * voxels, axis=1)
    is_structure = 1.0 - sets[..., 0]
    counted = is_structure * ops.cast(reference > 0.0, "float32")
    dice = 2.0 * both / ops.where(reference > 0.0, predicted + reference, 1.0)
    return counted * (1.0 - dice), counted


def soft_dice_term(weight: Weight) -> Term:
    """Return the term J_dice: the mean over structures of the global batch."""

    def reduce(batch: Batch, logits: Tensor, _: Tensor | None) -> Reduction:
        values, counted = candidate_soft_dice(
            batch["labels"], logits, batch["candidates"]
        )
        return weighted_sum(values, counted)

    return Term("soft_dice", weight, reduce)


def _relations(sets: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, U, V) float32: S_u is inside S_v; S_u and S_v are apart."""
    common = ops.matmul(sets, ops.transpose(sets, (0, 2, 1)))
    size = ops.sum(sets, axis=-1, keepdims=True)
    inside = ops.cast(common >= size, "float32")
    apart = ops.cast(common <= 0.0, "float32")
    return inside, apart


def _voxels(labels: Tensor) -> int:
    """Return the voxels of one patch, which must be known before the step."""
    count = 1
    for size in labels.shape[1:]:
        count *= size
    return count
