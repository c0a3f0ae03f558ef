"""The cost as a sum of terms, by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.losses import (
    Reduction,
    Term,
    consistency_term,
    supervised_term,
    total_cost,
    weight_penalty_term,
)

LABELS = np.array([0, 1, 2, 0], np.uint8).reshape(2, 2, 1, 1)
# Stored value 2 is ignore; the second sample does not annotate label 1.
CANDIDATES = np.array(
    [[[1, 0], [0, 1], [1, 1]], [[1, 1], [0, 1], [1, 1]]], bool
)
rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(2, 2, 2, 1, 1, 2)).astype("float32")
BATCH = {"labels": LABELS, "candidates": CANDIDATES}


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits)
    return exp / exp.sum(-1, keepdims=True)


def test_cost_is_the_weighted_sum_of_means() -> None:
    """J = J_ace + w(t) J_con, with w(t) = t / 4 at t = 2."""
    terms = [supervised_term(), consistency_term(lambda t: t / 4)]
    cost, parts = total_cost(terms, BATCH, STUDENT, TEACHER, np.int64(2))
    p = _softmax(STUDENT)
    # Of four voxels two carry information: 0 is {0}, 1 is {1}.
    supervised = -np.log([p[0, 0, 0, 0, 0], p[0, 1, 0, 0, 1]]).mean()
    agreement = ((p - _softmax(TEACHER)) ** 2).mean()
    assert float(cost) == pytest.approx(supervised + 0.5 * agreement, rel=1e-6)
    assert [float(part.count) for part in parts] == [2, 4]


def test_shares_of_replicas_sum_to_the_cost() -> None:
    """Each sample on a replica of its own: unequal counts, one penalty."""
    student = tf.keras.Sequential(
        [tf.keras.Input((4, 4, 4, 1)), tf.keras.layers.Conv3D(2, 1)]
    )
    terms = [
        supervised_term(),
        consistency_term(0.3),
        weight_penalty_term(student, 0.1, 0.2),
    ]
    whole, parts = total_cost(terms, BATCH, STUDENT, TEACHER, 0)
    assert float(parts[2].numerator) > 0
    rows = [slice(0, 1), slice(1, 2)]
    batches = [{key: BATCH[key][row] for key in BATCH} for row in rows]
    # The counts of both replicas, in the order in which they are asked for.
    counts = [
        float(sum(
            term.fn(batch, STUDENT[row], TEACHER[row]).count
            for batch, row in zip(batches, rows, strict=True)
        ))
        for term in terms
    ]  # fmt: skip
    shares = []
    for batch, row in zip(batches, rows, strict=True):
        sums = iter(counts)
        share, _ = total_cost(
            terms, batch, STUDENT[row], TEACHER[row], 0,
            lambda _, sums=sums: tf.constant(next(sums)),
        )  # fmt: skip
        shares.append(float(share))
    assert sum(shares) == pytest.approx(float(whole), rel=1e-6)


def test_weight_is_a_number_or_a_function_of_the_steps() -> None:
    term = partial(Term, "any", fn=lambda *_: Reduction(1.0, 1.0))
    assert term(0.25).weight_at(9) == 0.25
    rising = term(lambda steps: 0.25 * steps)
    assert float(rising.weight_at(tf.constant(9, tf.int64))) == 2.25


def test_consistency_asks_for_a_teacher() -> None:
    with pytest.raises(ValueError, match="consistency"):
        total_cost([consistency_term()], BATCH, STUDENT, None, 0)
