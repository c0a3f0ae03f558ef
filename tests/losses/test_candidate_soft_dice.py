"""Soft Dice over candidate sets: numbers by hand, a slow twin, invariants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.labels import candidate_table
from tfpartial.losses.candidate_soft_dice import candidate_soft_dice

NAMES = 5  # background, a, b, left, right


def soft_dice(
    labels: np.ndarray, logits: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    terms, counted = candidate_soft_dice(labels, logits, candidates)
    return np.asarray(terms), np.asarray(counted)


def slow(
    labels: np.ndarray, logits: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The formula voxel by voxel, with Python's sets."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    shape = candidates.shape[:2]
    terms, counted = np.zeros(shape), np.zeros(shape)
    for b, v in np.ndindex(*shape):
        own = set(np.flatnonzero(candidates[b, v]))
        if 0 in own:
            continue
        both = predicted = reference = 0.0
        for voxel in np.ndindex(*labels.shape[1:]):
            other = set(np.flatnonzero(candidates[b, labels[b][voxel]]))
            q = sum(p[b][voxel][c] for c in own)
            if other <= own:
                both, reference = both + q, reference + 1
            if other <= own or not other & own:
                predicted += q
        if reference:
            counted[b, v] = 1
            terms[b, v] = 1 - 2 * both / (predicted + reference)
    return terms, counted


def declared() -> np.ndarray:
    """Stored: background, a, b, left+right, ignore; b is not annotated."""
    sets = np.eye(NAMES, dtype=bool)[[0, 1, 3]]
    sets[2, 4] = True
    sets = np.concatenate([sets, np.ones((1, NAMES), bool)])
    annotated = np.array([True, True, False, True, True])
    return candidate_table(sets, annotated)


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = declared()
    full = np.eye(NAMES, dtype=bool)[[0, 1, 2, 3]]  # another database
    labels = rng.integers(0, 4, (2, 3, 2, 4)).astype(np.uint8)
    logits = rng.normal(0, 3, (2, 3, 2, 4, NAMES)).astype(np.float32)
    return labels, logits, np.stack([table, full])


def test_worked_number() -> None:
    logits = np.log(np.array([[0.2, 0.8], [0.8, 0.2]], np.float32))
    terms, counted = soft_dice(
        np.array([1, 0], np.uint8).reshape(1, 2, 1, 1),
        logits.reshape(1, 2, 1, 1, 2),
        np.eye(2, dtype=bool)[None],
    )
    assert counted.tolist() == [[0.0, 1.0]]
    # 2 * .8 / (.8 + .2 + 1) = .8
    assert terms[0, 1] == pytest.approx(0.2, abs=1e-6)


def nested_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels of left, of left or right, and of all structures in one."""
    labels, logits, _ = random_case(seed)
    sets = np.eye(NAMES, dtype=bool)[[0, 3, 3, 3]]
    sets[2, 4] = sets[3, 1:] = True
    return labels, logits, np.stack([sets, sets])


@pytest.mark.parametrize("make", [random_case, nested_case])
@pytest.mark.parametrize("seed", range(5))
def test_equals_its_slow_twin(seed: int, make: Callable) -> None:
    case = make(seed)
    for fast, twin in zip(soft_dice(*case), slow(*case), strict=True):
        np.testing.assert_allclose(fast, twin, atol=1e-6)


def test_a_merged_structure_is_scored_as_a_whole() -> None:
    labels, logits, candidates = random_case(0)
    _, counted = soft_dice(labels, logits, candidates)
    assert counted[0].tolist() == [0, 1, 1, 0]  # a, left+right; not b
    swapped = logits.copy()
    swapped[0, ..., [3, 4]] = logits[0, ..., [4, 3]]
    np.testing.assert_allclose(
        soft_dice(labels, swapped, candidates)[0][0],
        soft_dice(labels, logits, candidates)[0][0],
        atol=1e-6,
    )


def test_ignored_voxels_change_nothing() -> None:
    labels, logits, candidates = random_case(1)
    labels[0, 0] = 3  # ignore
    before, _ = soft_dice(labels, logits, candidates)
    logits[0, 0] = 50 * np.arange(NAMES)
    after, _ = soft_dice(labels, logits, candidates)
    np.testing.assert_allclose(before[0], after[0], atol=1e-6)


def test_open_background_may_be_what_is_not_annotated() -> None:
    """Probability for label b in open background costs nothing."""
    table = declared()[None]
    labels = np.array([0, 1], np.uint8).reshape(1, 2, 1, 1)
    logits = np.full((1, 2, 1, 1, NAMES), -30.0, np.float32)
    logits[0, 0, ..., 2] = 30.0  # b, not annotated
    logits[0, 1, ..., 1] = 30.0  # a, right
    terms, _ = soft_dice(labels, logits, table)
    assert np.abs(terms).max() < 1e-6


def test_nothing_annotated_is_nothing_and_no_gradient() -> None:
    labels, logits, candidates = random_case(2)
    candidates[:] = True
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        terms, counted = candidate_soft_dice(labels, z, candidates)
        total = tf.reduce_sum(terms)
    assert not counted.numpy().any()
    assert not terms.numpy().any()
    assert not tape.gradient(total, z).numpy().any()


def test_a_structure_outside_the_patch_is_not_counted() -> None:
    labels, logits, candidates = random_case(3)
    labels[labels == 1] = 0
    _, counted = soft_dice(labels, logits, candidates)
    assert not counted[:, 1].any()


def test_half_precision_is_computed_in_float32() -> None:
    labels, logits, candidates = random_case(0)
    half = tf.cast(logits, tf.bfloat16)
    terms, counted = candidate_soft_dice(labels, half, candidates)
    assert terms.dtype == counted.dtype == tf.float32
    exact, _ = soft_dice(labels, tf.cast(half, tf.float32), candidates)
    np.testing.assert_array_equal(terms, exact)


@pytest.mark.parametrize("absent", [False, True])
def test_gradients_are_finite_for_large_logits(absent: bool) -> None:
    labels, logits, candidates = random_case(4)
    if absent:  # nowhere, and predicted nowhere: 0 / 0
        labels[labels == 1] = 0
        logits[..., 1] = -100
    z = tf.constant(np.sign(logits) * 1e4)
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = tf.reduce_sum(candidate_soft_dice(labels, z, candidates)[0])
    assert np.isfinite(tape.gradient(total, z).numpy()).all()
