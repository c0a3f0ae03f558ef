"""Dice while training: the TensorFlow twin of `groups` and `overlap`.

In: batches of stored values, logits and candidate tables.
Out: one Dice per label, over all voxels seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfpartial.types import Tensor


def confusion(
    labels: Tensor, predicted: Tensor, num_stored: int, num_labels: int
) -> Tensor:
    """Count voxels per (sample, stored value, predicted label).

    Args:
        labels: (B, ...) int, stored values in [0, V).
        predicted: (B, ...) int, labels in [0, L).
        num_stored: V.
        num_labels: L.

    Returns:
        (B, V, L) int32 tensor.
    """
    batch = tf.shape(labels)[0]
    stored = tf.reshape(tf.cast(labels, tf.int32), [batch, -1])
    guess = tf.reshape(tf.cast(predicted, tf.int32), [batch, -1])
    offset = tf.range(batch)[:, None] * (num_stored * num_labels)
    bins = tf.reshape(offset + stored * num_labels + guess, [-1])
    size = batch * num_stored * num_labels
    counts = tf.math.bincount(bins, minlength=size, maxlength=size)
    return tf.reshape(counts, [batch, num_stored, num_labels])


def overlap_counts(
    counts: Tensor, candidates: Tensor, resolved: Tensor
) -> Tensor:
    """True positives, predicted and reference voxels of resolved labels.

    A voxel counts for label l only where its candidate set decides about l:
    either it is exactly {l} (reference), or it excludes l (a prediction of l
    there is false). Ignored and merged voxels that may be l count nowhere.

    Args:
        counts: (B, V, L) confusion.
        candidates: (B, V, L) bool.
        resolved: (B, L) bool.

    Returns:
        (3, L) float64: intersection, predicted, reference.
    """
    counts = tf.cast(counts, tf.float64)
    single = tf.logical_and(candidates, _sizes(candidates) == 1)
    decided = tf.logical_or(single, tf.logical_not(candidates))
    single = tf.cast(single, tf.float64)
    decided = tf.cast(decided, tf.float64)
    voxels = tf.reduce_sum(counts, -1, keepdims=True)
    per_sample = tf.stack(
        [
            tf.reduce_sum(single * counts, 1),
            tf.reduce_sum(decided * counts, 1),
            tf.reduce_sum(single * voxels, 1),
        ]
    )
    return tf.reduce_sum(per_sample * tf.cast(resolved, tf.float64), 1)


def find_resolved_labels(candidates: Tensor) -> Tensor:
    """Return (B, L) bool: the labels that have a Dice of their own.

    Formula (S_v the candidate set of stored value v, S_0 that of background):
        S_v = {l} for some v, and l is in no set of several labels but ignore

    Of background (L 0) nothing is claimed: no Dice is made of it.
    The same as `labels.resolved_labels` for tables of `candidate_table`
    (unless "liver or nothing" became ignore there).

    Args:
        candidates: (B, V, L) bool.
    """
    sizes = _sizes(candidates)
    several = (sizes > 1) & (sizes < candidates.shape[2])
    background = tf.range(candidates.shape[1])[:, None] == 0
    undecided = several | (background & (sizes > 1))
    named = tf.reduce_any(candidates & (sizes == 1), 1)
    return named & ~tf.reduce_any(candidates & undecided, 1)


def _sizes(candidates: Tensor) -> Tensor:
    """Return (B, V, 1) int32: |S|."""
    return tf.reduce_sum(tf.cast(candidates, tf.int32), -1, keepdims=True)


class StreamingDice(keras.metrics.Metric):
    """Dice per label over all voxels seen since the last reset.

    Formula:
        Dice_l = 2 |P_l and R_l| / (|P_l| + |R_l|);  NaN if R_l is empty

    Of one scan it is the Dice of `metrics.overlap.dice` for that label's
    `metrics.groups.Structure`. On purpose it differs from that of a scan in
    what patches ask for: the counts are summed over samples, steps and
    replicas *before* the division, as a patch often holds only a corner of an
    organ; a label that no patch shows has no Dice, where that of a scan is 0
    if it is predicted; merged labels have none. The counts are float64:
    float32 stops counting small labels past 2^24 voxels.

    `result()` is the mean over labels with a reference voxel; `per_label()`
    gives all of them.
    """

    def __init__(self, label_names: Sequence[str], name: str) -> None:
        """Count nothing yet.

        Args:
            label_names: all L names, background first.
            name: Keras name.
        """
        super().__init__(name=name, dtype="float64")
        self.label_names = tuple(label_names)
        self.counts = self.add_variable(
            (3, len(self.label_names)),
            initializer="zeros",
            dtype="float64",
            name="counts",
        )

    def update_state(
        self,
        labels: Tensor,
        logits: Tensor,
        candidates: Tensor,
        resolved: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            labels: (B, ...) int, stored values in [0, V).
            logits: (B, ..., L) float.
            candidates: (B, V, L) bool.
            resolved: (B, L) bool, the labels to count in each sample;
                default: `find_resolved_labels`.
        """
        if resolved is None:
            resolved = find_resolved_labels(candidates)
        # The first of equal ones, like tf.argmax, in half of its time on a CPU.
        predicted = tf.math.top_k(logits, sorted=False).indices[..., 0]
        counts = confusion(
            labels, predicted, candidates.shape[1], candidates.shape[2]
        )
        self.counts.assign_add(overlap_counts(counts, candidates, resolved))

    def per_label(self) -> dict[str, float]:
        """Return Dice of every label but background; NaN without reference."""
        both, predicted, reference = np.asarray(self.counts.numpy())
        with np.errstate(invalid="ignore"):
            dice = 2 * both / (predicted + reference)
        dice[reference == 0] = np.nan
        return dict(zip(self.label_names[1:], dice[1:].tolist(), strict=True))

    def result(self) -> Tensor:
        """Return the mean Dice over labels with a reference voxel."""
        both, predicted, reference = tf.unstack(
            tf.convert_to_tensor(self.counts)[:, 1:]
        )
        dice = tf.math.divide_no_nan(2 * both, predicted + reference)
        present = tf.cast(reference > 0, tf.float64)
        return tf.math.divide_no_nan(
            tf.reduce_sum(dice * present), tf.reduce_sum(present)
        )
