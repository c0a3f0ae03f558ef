"""L1 and L2 of convolution kernels, and which variables those are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpartial.losses import convolution_kernels, weight_penalty


def test_worked_number() -> None:
    # .1 * (1 + 2) + .01 * (1 + 4)
    kernel = np.array([1.0, -2.0])
    assert float(weight_penalty([kernel], 0.1, 0.01)) == pytest.approx(0.35)
    # Two kernels add up: .1 * (3 + 4) + .01 * (5 + 16).
    both = weight_penalty([kernel, np.array([[-4.0]])], 0.1, 0.01)
    assert float(both) == pytest.approx(0.91)


def test_gradient_is_l1_sign_plus_two_l2_w() -> None:
    kernel = tf.Variable([3.0, -2.0])
    with tf.GradientTape() as tape:
        penalty = weight_penalty([kernel], 0.1, 0.01)
    # .1 + 2 * .01 * 3 and -.1 - 2 * .01 * 2: no 1/2 in front of the squares.
    np.testing.assert_allclose(tape.gradient(penalty, kernel), [0.16, -0.14])


def test_no_kernels_and_no_factors_are_zero() -> None:
    assert float(weight_penalty([], 1.0, 1.0)) == 0.0
    assert float(weight_penalty([np.ones(3)], 0.0, 0.0)) == 0.0


def test_half_precision_is_summed_in_float32() -> None:
    # 4096 + 1 is not a bfloat16.
    kernel = tf.ones(4097, tf.bfloat16)
    assert float(weight_penalty([kernel], 1.0, 0.0)) == 4097.0


def test_kernels_are_those_of_convolutions_alone() -> None:
    layers = keras.layers
    image = keras.Input((4, 4, 4, 1))
    x = layers.Conv3D(2, 3, padding="same", name="first")(image)
    x = layers.BatchNormalization()(x)
    x = layers.GroupNormalization(1)(x)
    x = layers.PReLU(shared_axes=[1, 2, 3])(x)
    logits = layers.Conv3D(3, 1, name="classifier")(x)
    network = keras.Model(image, logits)
    found = convolution_kernels(network.trainable_variables)
    assert [v.path for v in found] == ["first/kernel", "classifier/kernel"]
