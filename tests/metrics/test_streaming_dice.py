"""Dice over the labels that a case resolves, counted by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.metrics.streaming_dice import StreamingDice, confusion

NAMES = ("background", "a", "b", "c")


def _logits(predicted: list[list[int]]) -> tf.Tensor:
    return tf.one_hot(predicted, 4, 5.0, 0.0)


def test_confusion_counts_every_voxel_once() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, (2, 30))
    predicted = rng.integers(0, 4, (2, 30))
    counts = confusion(labels, predicted, 5, 4).numpy()
    for b in range(2):
        for v in range(5):
            for l in range(4):  # noqa: E741
                expected = np.sum((labels[b] == v) & (predicted[b] == l))
                assert counts[b, v, l] == expected


def test_dice_by_hand_with_merged_ignore_and_open_background() -> None:
    # Stored: 0 background, 1 a, 2 {b, c}, 3 ignore. Label c nowhere single.
    sets = np.zeros((1, 4, 4), bool)
    sets[0, 0, 0] = sets[0, 1, 1] = True
    sets[0, 2, [2, 3]] = True
    sets[0, 3] = True
    labels = np.array([[0, 0, 1, 1, 2, 3]])
    predicted = [[1, 0, 1, 0, 1, 1]]
    metric = StreamingDice(NAMES, "dice")
    resolved = np.array([[False, True, False, False]])
    metric.update_state(labels, _logits(predicted), tf.constant(sets), resolved)
    dice = metric.per_label()
    # a: reference 2, hits 1; predicted a: voxels 0, 2, 4 (the merged voxel
    # excludes a) = 3; the ignored voxel does not count.
    assert dice["a"] == pytest.approx(2 * 1 / (3 + 2))
    assert np.isnan(dice["b"])
    assert np.isnan(dice["c"])
    assert float(metric.result()) == pytest.approx(2 / 5)


def test_open_background_that_may_be_the_label_is_not_false_positive() -> None:
    # b is not annotated: background may be b, and b is not resolved.
    sets = np.zeros((1, 2, 4), bool)
    sets[0, 0, [0, 2]] = True
    sets[0, 1, 1] = True
    metric = StreamingDice(NAMES, "dice")
    metric.update_state(
        np.array([[0, 1]]),
        _logits([[2, 1]]),
        tf.constant(sets),
        np.array([[False, True, False, False]]),
    )
    assert metric.per_label()["a"] == 1.0
    assert np.isnan(metric.per_label()["b"])


def test_two_batches_are_one_large_batch() -> None:
    rng = np.random.default_rng(2)
    sets = tf.constant(np.eye(4, dtype=bool)[None].repeat(4, 0))
    labels = rng.integers(0, 4, (4, 50))
    logits = tf.constant(rng.normal(size=(4, 50, 4)), tf.float32)
    resolved = np.ones((4, 4), bool)
    whole, parts = (StreamingDice(NAMES, n) for n in ("whole", "parts"))
    whole.update_state(labels, logits, sets, resolved)
    for rows in (slice(0, 1), slice(1, 4)):
        parts.update_state(
            labels[rows], logits[rows], sets[rows], resolved[rows]
        )
    assert whole.per_label() == parts.per_label()


def test_of_equal_logits_the_first_label_is_predicted() -> None:
    """As NumPy's argmax: a network that says nothing predicts background."""
    metric = StreamingDice(["background", "a", "b"], "dice")
    logits = np.array([[0, 0, 0], [1, 2, 2], [3, 1, 3]], np.float32)
    labels = np.argmax(logits, -1).astype(np.uint8)
    table, resolved = np.eye(3, dtype=bool)[None], np.ones((1, 3), bool)
    metric.update_state(labels[None], logits[None], table, resolved)
    np.testing.assert_array_equal(
        metric.counts.numpy(), [[2, 1, 0], [2, 1, 0], [2, 1, 0]]
    )
