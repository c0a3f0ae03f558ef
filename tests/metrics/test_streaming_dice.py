"""Dice over the labels that a case resolves, counted by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.labels import (
    Label,
    LabelSpace,
    candidate_table,
    resolved_labels,
)
from tfpartial.metrics.groups import structures_of
from tfpartial.metrics.overlap import dice
from tfpartial.metrics.streaming_dice import (
    StreamingDice,
    confusion,
    find_resolved_labels,
)

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


def _declare(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw stored sets (V, 5), ignore among them, and annotated labels (5,).

    Mostly single labels; merged ones, and labels with background, in between.
    """
    sets = [np.eye(1, 5, dtype=bool)[0]]
    for _ in range(rng.integers(1, 6)):
        size = rng.choice([1, 1, 1, 1, 1, 2, 3])
        labels = rng.choice(np.arange(size == 1, 5), size, replace=False)
        sets.append(np.isin(np.arange(5), labels))
    sets.append(np.ones(5, bool))
    annotated = rng.random(5) < 0.8
    annotated[0] = True
    return np.array(sets), annotated


def test_one_scan_has_the_dice_of_evaluate() -> None:
    """The TensorFlow twin against `structures_of` and `dice`, to the bit.

    100 random declarations, references and predictions; every resolved label
    is a structure of its own. Without a reference the twin has no Dice.
    """
    rng = np.random.default_rng(0)
    space = LabelSpace(tuple(Label(name) for name in "abcd"))
    metric = StreamingDice(space.names, "dice")
    compared = []
    for _ in range(100):
        sets, annotated = _declare(rng)
        stored = rng.choice(
            len(sets), (3, 4, 5), p=rng.dirichlet(np.full(len(sets), 0.5))
        )
        prediction = rng.choice(
            5, stored.shape, p=rng.dirichlet(np.full(5, 0.5))
        )
        resolved = resolved_labels(sets, annotated)
        metric.reset_state()
        metric.update_state(
            stored[None],
            tf.one_hot(prediction, 5)[None],
            tf.constant(candidate_table(sets, annotated)[None]),
            tf.constant(resolved[None]),
        )
        streamed = metric.per_label()
        structures = {s.name: s for s in structures_of(sets, annotated, space)}
        for name in np.array(space.names)[1:][resolved[1:]]:
            reference, guess = structures[name].masks(stored, prediction)
            if reference.any():
                assert streamed[name] == dice(reference, guess)
                compared.append(streamed[name])
            else:
                assert np.isnan(streamed[name])
    scores = np.array(compared)
    assert len(scores) > 80
    assert (scores == 0).any()
    assert ((scores > 0) & (scores < 1)).any()


def test_resolved_labels_are_found_in_the_candidate_table() -> None:
    rng = np.random.default_rng(1)
    inferred, declared = [], []
    for _ in range(300):
        sets, annotated = _declare(rng)
        sets[1:-1, 0] = False
        table = tf.constant(candidate_table(sets, annotated)[None])
        inferred.append(find_resolved_labels(table)[0, 1:].numpy())
        declared.append(resolved_labels(sets, annotated)[1:])
    np.testing.assert_array_equal(inferred, declared)
    assert np.any(declared)


def test_without_resolved_labels_the_table_decides() -> None:
    sets = np.zeros((1, 3, 4), bool)
    sets[0, 0, [0, 3]] = sets[0, 1, 1] = True  # c is not annotated
    sets[0, 2, [1, 2]] = True
    dice_of = {}
    for values in ((0, 1), (0, 2)):
        metric = StreamingDice(NAMES, "dice")
        table = tf.constant(sets[:, values])
        metric.update_state(np.array([[0, 1]]), _logits([[3, 1]]), table)
        dice_of[values] = metric.per_label()
    assert dice_of[0, 1]["a"] == 1
    assert np.isnan([dice_of[0, 1]["c"], dice_of[0, 2]["a"]]).all()


def test_a_label_that_background_may_be_is_not_resolved() -> None:
    """Where background may be all there is, its set looks like ignore."""
    table = tf.constant([[[True, True], [False, True], [True, True]]])
    assert not find_resolved_labels(table)[0, 1]
    annotated = tf.constant([[[True, False], [False, True], [True, True]]])
    assert find_resolved_labels(annotated)[0, 1]
