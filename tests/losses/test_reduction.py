"""One mean over the global batch, however it is split."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.losses import scalar, weighted_sum


def test_mean_of_the_counted_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 40.0])
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    part = weighted_sum(values, weights)
    assert float(part.numerator) == 6.0
    assert float(part.count) == 3.0
    assert float(scalar(part)) == 2.0


def test_weights_may_sum_to_less_than_one() -> None:
    part = weighted_sum(np.array([3.0, 8.0]), np.array([0.5, 0.0]))
    assert float(scalar(part)) == 3.0


def test_shares_add_up_to_the_mean_with_unequal_counts() -> None:
    values = [np.array([1.0, 2.0, 3.0]), np.array([10.0, 0.0, 0.0])]
    weights = [np.ones(3), np.array([1.0, 0.0, 0.0])]
    parts = [weighted_sum(v, w) for v, w in zip(values, weights, strict=True)]
    total = sum(float(part.count) for part in parts)
    shares = [scalar(p, lambda _: tf.constant(total)) for p in parts]
    assert float(sum(shares)) == (1 + 2 + 3 + 10) / 4
    mean_of_means = ((1 + 2 + 3) / 3 + 10) / 2
    assert mean_of_means != (1 + 2 + 3 + 10) / 4


def test_nothing_counted_is_zero_without_gradient() -> None:
    values = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = scalar(weighted_sum(values, tf.zeros(2)))
    assert float(loss) == 0.0
    assert not np.any(tape.gradient(loss, values))


def test_replica_without_counted_voxels_beside_one_with() -> None:
    total = tf.constant(4.0)
    empty = scalar(weighted_sum(tf.ones(3), tf.zeros(3)), lambda _: total)
    full = scalar(weighted_sum(tf.ones(4), tf.ones(4)), lambda _: total)
    assert (float(empty), float(full)) == (0.0, 1.0)


def test_bfloat16_is_summed_in_float32() -> None:
    # bfloat16 cannot count beyond 256.
    ones = tf.ones(1000, tf.bfloat16)
    part = weighted_sum(ones, ones)
    assert part.count.dtype == "float32"
    assert float(part.count) == 1000.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_is_not_hidden(value: float) -> None:
    part = weighted_sum(np.array([1.0, value]), np.ones(2))
    assert not np.isfinite(float(scalar(part)))
