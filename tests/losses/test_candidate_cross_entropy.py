"""Eq. 2: numbers by hand, the slow twin, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from twins import slow_losses

from tfpartial.labels import candidate_table
from tfpartial.losses import candidate_cross_entropy, informative_voxels

# float32 carries 1.2e-7; a few operations on numbers around 10.
TOLERANCE = 5e-6


def one_voxel(probabilities: list[float], allowed: list[int]) -> float:
    """H of one voxel whose stored value 0 may be the labels `allowed`."""
    logits = np.log(np.array(probabilities, np.float32))
    table = np.isin(np.arange(len(probabilities)), allowed)
    loss = candidate_cross_entropy(
        np.zeros((1, 1, 1, 1), np.uint8),
        logits.reshape(1, 1, 1, 1, -1),
        table.reshape(1, 1, -1),
    )
    return float(ops.convert_to_numpy(loss).item())


def random_case(
    seed: int, num_labels: int = 5, values: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and candidates of two samples with different tables."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, values, (2, 3, 4, 5)).astype(np.uint8)
    logits = rng.normal(0, 4, (2, 3, 4, 5, num_labels)).astype(np.float32)
    candidates = rng.random((2, values, num_labels)) < 0.4
    candidates[:, :, 0] = True
    candidates[:, -1] = True
    return labels, logits, candidates


def gradient(
    labels: np.ndarray, logits: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """d sum(H) / d logits."""
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = tf.reduce_sum(candidate_cross_entropy(labels, z, candidates))
    return tape.gradient(loss, z).numpy()


def test_worked_number() -> None:
    assert one_voxel([0.5, 0.3, 0.2], [0, 2]) == pytest.approx(-math.log(0.7))
    assert one_voxel([0.5, 0.3, 0.2], [1]) == pytest.approx(-math.log(0.3))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_equals_slow_twin(seed: int, dtype: str) -> None:
    labels, logits, candidates = random_case(seed)
    # The twin gets the rounded logits: the loss itself works in float32.
    rounded = ops.cast(logits, dtype)
    fast = candidate_cross_entropy(labels, rounded, candidates)
    assert fast.dtype == "float32"
    slow = slow_losses.candidate_cross_entropy(
        labels, ops.convert_to_numpy(ops.cast(rounded, "float32")), candidates
    )
    np.testing.assert_allclose(fast, slow, atol=TOLERANCE, rtol=TOLERANCE)


def test_all_annotated_is_cross_entropy() -> None:
    labels, logits, _ = random_case(0, num_labels=5, values=5)
    table = candidate_table(np.eye(5, dtype=bool), np.ones(5, bool))
    candidates = np.stack([table, table])
    ordinary = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels.astype(np.int32), logits
    )
    np.testing.assert_allclose(
        candidate_cross_entropy(labels, logits, candidates),
        ordinary,
        atol=TOLERANCE,
    )


def test_nothing_annotated_is_exactly_zero_without_gradient() -> None:
    labels, logits, candidates = random_case(1)
    nothing = np.ones_like(candidates)
    for scale in (1.0, 1e4):
        losses = candidate_cross_entropy(labels, scale * logits, nothing)
        assert not np.any(losses)
        assert not np.any(gradient(labels, scale * logits, nothing))


def test_naive_is_the_same_loss_with_another_table() -> None:
    labels, logits, _ = random_case(2, num_labels=4, values=4)
    labels[labels == 3] = 0  # label 3 is not annotated
    sets = np.eye(4, dtype=bool)
    annotated = np.array([True, True, True, False])
    naive = candidate_table(sets, annotated, "naive")
    np.testing.assert_allclose(
        candidate_cross_entropy(labels, logits, np.stack([naive, naive])),
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels.astype(np.int32), logits
        ),
        atol=TOLERANCE,
    )
    open_background = candidate_table(sets, annotated)
    assert open_background[0].tolist() == [True, False, False, True]


def test_permuting_logits_inside_the_set_changes_nothing() -> None:
    labels, logits, _ = random_case(3, num_labels=5, values=1)
    table = np.array([True, False, True, True, False])
    candidates = np.broadcast_to(table, (2, 1, 5))
    before = candidate_cross_entropy(labels, logits, candidates)
    after = candidate_cross_entropy(
        labels, logits[..., [2, 1, 3, 0, 4]], candidates
    )
    np.testing.assert_allclose(before, after, atol=TOLERANCE)


def test_adding_a_constant_changes_nothing() -> None:
    labels, logits, candidates = random_case(4)
    before = candidate_cross_entropy(labels, logits, candidates)
    after = candidate_cross_entropy(labels, logits + 8, candidates)
    np.testing.assert_allclose(before, after, atol=2e-5)


def test_gradient_is_softmax_minus_softmax_inside() -> None:
    labels, logits, candidates = random_case(5)
    rows = np.stack([candidates[b][labels[b]] for b in range(len(candidates))])
    everywhere = tf.nn.softmax(logits).numpy()
    inside = tf.nn.softmax(np.where(rows, logits, -np.inf)).numpy()
    np.testing.assert_allclose(
        gradient(labels, logits, candidates),
        everywhere - inside,
        atol=TOLERANCE,
    )


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_logits_give_the_margin_and_finite_gradients(
    size: float,
) -> None:
    logits = np.array([size, -size, 0.0], np.float32).reshape(1, 1, 1, 1, 3)
    labels = np.zeros((1, 1, 1, 1), np.uint8)
    for allowed, expected in ([1], 2 * size), ([2, 1], size), ([0], 0.0):
        table = np.isin(np.arange(3), allowed).reshape(1, 1, 3)
        loss = candidate_cross_entropy(labels, logits, table)
        assert float(loss[0, 0, 0, 0]) == pytest.approx(expected)
        assert np.all(np.isfinite(gradient(labels, logits, table)))


def test_never_negative_and_small_losses_keep_their_digits() -> None:
    labels, logits, candidates = random_case(6)
    assert np.min(candidate_cross_entropy(labels, logits, candidates)) >= 0
    # logsumexp - logsumexp would round 1e-9 of 50 to 0.
    small = one_voxel([1.0, 1e-9], [0])
    assert small == pytest.approx(1e-9, rel=1e-3)


def test_each_sample_has_its_own_table() -> None:
    labels, logits, candidates = random_case(7)
    together = candidate_cross_entropy(labels, logits, candidates)
    for b in range(2):
        row = slice(b, b + 1)
        alone = candidate_cross_entropy(
            labels[row], logits[row], candidates[row]
        )
        np.testing.assert_allclose(together[row], alone, atol=TOLERANCE)


def test_256_stored_values_in_many_rows() -> None:
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 256, (9, 2, 2, 8)).astype(np.uint8)
    logits = rng.normal(size=(9, 2, 2, 8, 3)).astype(np.float32)
    candidates = rng.random((9, 256, 3)) < 0.5
    candidates[:, :, 1] = True
    np.testing.assert_allclose(
        candidate_cross_entropy(labels, logits, candidates),
        slow_losses.candidate_cross_entropy(labels, logits, candidates),
        atol=TOLERANCE,
    )


def test_eager_equals_graph_with_unknown_shapes() -> None:
    labels, logits, candidates = random_case(9)
    graph = tf.function(
        candidate_cross_entropy,
        input_signature=[
            tf.TensorSpec((None,) * 4, tf.uint8),
            tf.TensorSpec((None,) * 4 + (5,), tf.float32),
            tf.TensorSpec((None, 7, 5), tf.bool),
        ],
    )
    np.testing.assert_allclose(
        graph(labels, logits, candidates),
        candidate_cross_entropy(labels, logits, candidates),
        atol=TOLERANCE,
    )


def test_informative_voxels_are_those_not_left_open() -> None:
    table = np.array([[[1, 0, 1], [0, 1, 0], [1, 1, 1]]], bool)
    labels = np.array([0, 1, 2, 2], np.uint8).reshape(1, 1, 1, 4)
    counted = informative_voxels(labels, table)
    assert counted.dtype == "float32"
    assert np.ravel(counted).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((2, 3, 3, 3), (2, 3, 3, 4, 5), (2, 6, 5)), "must agree in B, I"),
        (((2, 3, 3, 3), (2, 3, 3, 3, 5), (2, 6, 4)), "must agree in B, I"),
        (((2, 3, 3, 3), (2, 3, 3, 3, 5), (1, 6, 5)), "must agree in B, I"),
        (((2, 3, 3, 3), (2, 3, 3, 3), (2, 6, 5)), r"logits \(B, I, J, K, L"),
        (((2, 3, 3, 3), (2, 3, 3, 3, 5), (6, 5)), r"candidates \(B, V, L\)"),
    ],
)
def test_shapes_that_disagree_are_named(shapes: tuple, words: str) -> None:
    labels, logits, candidates = shapes
    with pytest.raises(ValueError, match=words):
        candidate_cross_entropy(
            np.zeros(labels, np.uint8),
            np.zeros(logits, np.float32),
            np.ones(candidates, bool),
        )
