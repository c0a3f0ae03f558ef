"""The teacher is the exponential moving average of the student."""

import keras
import numpy as np
import pytest

from tfpartial.training.ema import update_teacher, warmed_decay


def _network(name: str) -> keras.Model:
    image = keras.Input((2,))
    hidden = keras.layers.Dense(3, name=f"{name}_dense")(image)
    hidden = keras.layers.BatchNormalization(name=f"{name}_norm")(hidden)
    return keras.Model(image, hidden, name=name)


def test_decay_is_warmed_up() -> None:
    # min(.99, 1 - 1/(t + 1)): 0, 1/2, 2/3, ... and .99 from t = 99 on.
    assert float(warmed_decay(0.99, 0)) == 0.0
    assert float(warmed_decay(0.99, 1)) == pytest.approx(1 / 2)
    assert float(warmed_decay(0.99, 2)) == pytest.approx(2 / 3)
    assert float(warmed_decay(0.99, 98)) == pytest.approx(98 / 99)
    assert float(warmed_decay(0.99, 1000)) == pytest.approx(0.99)


def test_update_is_the_formula() -> None:
    student, teacher = _network("student"), _network("teacher")
    rng = np.random.default_rng(0)
    for network in (student, teacher):
        network.set_weights([rng.normal(size=w.shape) for w in network.weights])
    before = [w.numpy() for w in teacher.weights]
    trainable = [w.trainable for w in student.weights]
    teacher.trainable = False
    update_teacher(student, teacher, 0.9)
    assert trainable.count(False) == 2  # moving mean and variance
    for old, new, source, averaged in zip(
        before, teacher.weights, student.weights, trainable, strict=True
    ):
        expected = 0.9 * old + 0.1 * source.numpy() if averaged else source
        np.testing.assert_allclose(new.numpy(), expected, rtol=1e-6)


def test_update_leaves_the_student_alone() -> None:
    student, teacher = _network("student"), _network("teacher")
    before = student.get_weights()
    update_teacher(student, teacher, 0.5)
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
