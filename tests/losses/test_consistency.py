"""Eq. 5: numbers by hand, the slow twin, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from twins import slow_losses

from tfpartial.losses import consistency

TOLERANCE = 1e-6


def random_logits(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (2, 3, 2, 4, 5)).astype(np.float32)


def test_worked_number() -> None:
    student = np.log([[[[[0.5, 0.5]]]]]).astype(np.float32)
    teacher = np.log([[[[[0.7, 0.3]]]]]).astype(np.float32)
    expected = (0.2**2 + 0.2**2) / 2
    assert float(consistency(student, teacher)[0, 0, 0, 0]) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
def test_equals_slow_twin(seed: int, dtype: tf.DType) -> None:
    student = tf.cast(random_logits(seed), dtype)
    teacher = tf.cast(random_logits(seed + 10), dtype)
    fast = consistency(student, teacher)
    assert fast.dtype == "float32"
    slow = slow_losses.consistency(
        tf.cast(student, tf.float32).numpy(),
        tf.cast(teacher, tf.float32).numpy(),
    )
    np.testing.assert_allclose(fast, slow, atol=TOLERANCE)


def test_equal_logits_are_exactly_zero() -> None:
    logits = random_logits(0)
    assert not np.any(consistency(logits, logits))


def test_symmetric_and_blind_to_a_constant() -> None:
    student, teacher = random_logits(0), random_logits(1)
    value = consistency(student, teacher)
    np.testing.assert_allclose(
        value, consistency(teacher, student), atol=TOLERANCE
    )
    np.testing.assert_allclose(
        value, consistency(student + 4, teacher - 7), atol=TOLERANCE
    )


def test_opposite_certainties_are_the_maximum_two_over_l() -> None:
    student = np.array([50.0, 0, 0, 0, 0], np.float32).reshape(1, 1, 1, 1, 5)
    value = consistency(student, student[..., ::-1])
    assert float(value[0, 0, 0, 0]) == pytest.approx(2 / 5)


def test_no_gradient_to_the_teacher() -> None:
    student = tf.constant(random_logits(0))
    teacher = tf.constant(random_logits(1))
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        loss = tf.reduce_sum(consistency(student, teacher))
    to_student, to_teacher = tape.gradient(loss, [student, teacher])
    assert to_teacher is None
    assert np.abs(to_student).max() > 0


def test_finite_for_large_logits() -> None:
    student = tf.constant([[[[[1e4, -1e4, 0.0]]]]])
    teacher = tf.constant([[[[[-1e4, 1e4, 0.0]]]]])
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = consistency(student, teacher)
    assert np.all(np.isfinite(loss))
    assert np.all(np.isfinite(tape.gradient(loss, student)))


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"one shape.*\(2, 3, 2, 4, 5\)"):
        consistency(random_logits(0), random_logits(0)[:1])
