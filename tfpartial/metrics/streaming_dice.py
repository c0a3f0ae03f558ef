"""Streaming Dice over the labels that a case resolves, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def confusion(
    labels: Any, predicted: Any, num_stored: int, num_labels: int
) -> Any:
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
    flat = tf.reshape(tf.cast(labels, tf.int32), [batch, -1])
    guess = tf.reshape(tf.cast(predicted, tf.int32), [batch, -1])
    offset = tf.range(batch)[:, None] * (num_stored * num_labels)
    bins = tf.reshape(offset + flat * num_labels + guess, [-1])
    size = batch * num_stored * num_labels
    counts = tf.math.bincount(bins, minlength=size, maxlength=size)
    return tf.reshape(counts, [batch, num_stored, num_labels])


def overlap_counts(counts: Any, candidates: Any, resolved: Any) -> Any:
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
    sizes = tf.reduce_sum(tf.cast(candidates, tf.int32), -1, keepdims=True)
    single = tf.logical_and(candidates, sizes == 1)
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


class StreamingDice(keras.metrics.Metric):
    """Dice per label over all voxels seen since the last reset.

    Formula:
        Dice_l = 2 |P_l and R_l| / (|P_l| + |R_l|)

    with counts summed over steps and replicas before the division, in
    float64: float32 stops counting small labels past 2^24 voxels.

    `result()` is the mean over labels with a reference voxel; `per_label()`
    gives all of them.
    """

    def __init__(self, label_names: Sequence[str], name: str) -> None:
        super().__init__(name=name, dtype="float64")
        self.label_names = tuple(label_names)
        self.counts = self.add_variable(
            (3, len(self.label_names)),
            initializer="zeros",
            dtype="float64",
            name="counts",
        )

    def update_state(  # noqa: D417
        self, labels: Any, logits: Any, candidates: Any, resolved: Any
    ) -> None:
        """Add a batch; arguments as in the losses, `resolved` (B, L) bool."""
        # The first of equal ones, like tf.argmax, in half of its time on a CPU.
        predicted = tf.math.top_k(logits, sorted=False).indices[..., 0]
        found = confusion(
            labels, predicted, candidates.shape[1], candidates.shape[2]
        )
        self.counts.assign_add(overlap_counts(found, candidates, resolved))

    def per_label(self) -> dict[str, float]:
        """Return Dice of every label but background; NaN without reference."""
        both, predicted, reference = np.asarray(self.counts.numpy())
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = np.where(
                reference > 0, 2 * both / (predicted + reference), np.nan
            )
        return dict(zip(self.label_names[1:], dice[1:].tolist(), strict=True))

    def result(self) -> Any:
        """Return the mean Dice over labels with a reference voxel."""
        both, predicted, reference = tf.unstack(
            tf.convert_to_tensor(self.counts)[:, 1:]
        )
        dice = tf.math.divide_no_nan(2 * both, predicted + reference)
        present = tf.cast(reference > 0, tf.float64)
        return tf.math.divide_no_nan(
            tf.reduce_sum(dice * present), tf.reduce_sum(present)
        )
