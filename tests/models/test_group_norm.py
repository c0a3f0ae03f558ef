"""Group normalisation against its slow twin and against Keras'."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import slow_norm

from tfpartial.models.blocks import normalize
from tfpartial.models.group_norm import GroupNorm

SHAPE = (2, 4, 5, 3, 8)
# Sums of x and x^2 in float32 instead of two passes.
TOLERANCE = 2e-5


def random_input(mean: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(mean, 2, SHAPE).astype(np.float32)


def built(num_groups: int) -> GroupNorm:
    layer = GroupNorm(num_groups)
    layer.build(SHAPE)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=8), rng.normal(size=8)])
    return layer


def test_two_voxels_by_hand() -> None:
    """Channel (1, 3): mean 2, sd 1, so -1 and 1."""
    x = np.array([1.0, 3.0], np.float32).reshape(1, 2, 1, 1, 1)
    y = GroupNorm(-1, epsilon=0.0)(x)
    np.testing.assert_allclose(np.ravel(y), [-1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("num_groups", [1, 2, 4, 8, -1])
@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_equals_slow_twin(num_groups: int, mean: float) -> None:
    layer, x = built(num_groups), random_input(mean)
    gamma, beta = layer.get_weights()
    groups = 8 if num_groups == -1 else num_groups
    expected = slow_norm.group_norm(x, groups, gamma, beta, layer.epsilon)
    np.testing.assert_allclose(layer(x), expected, atol=TOLERANCE)


@pytest.mark.parametrize("num_groups", [1, 2, 8])
def test_value_and_gradients_equal_those_of_keras(num_groups: int) -> None:
    ours, x = built(num_groups), tf.constant(random_input())
    theirs = keras.layers.GroupNormalization(num_groups, epsilon=ours.epsilon)
    theirs.build(SHAPE)
    theirs.set_weights(ours.get_weights())
    upstream = tf.constant(random_input()[::-1].copy())
    found = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        wanted = [x, *layer.trainable_weights]
        found.append(tape.gradient(y, wanted, output_gradients=upstream))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_constant_input_gives_beta() -> None:
    y = GroupNorm(2)(np.full(SHAPE, 7.0, np.float32))
    assert np.all(np.isfinite(y))
    np.testing.assert_allclose(y, 0.0, atol=0.05)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    layer, x = built(4), random_input()
    np.testing.assert_allclose(layer(x)[1:], layer(x[1:]), atol=1e-6)


def test_bfloat16_is_close_and_keeps_its_dtype() -> None:
    x = random_input()
    low = GroupNorm(2, dtype="mixed_bfloat16")(x)
    assert low.dtype == "bfloat16"
    # 2**-8 of values up to 4, rounded three times.
    np.testing.assert_allclose(
        tf.cast(low, tf.float32), GroupNorm(2)(x), atol=0.04
    )


def test_gradients_of_weights_are_summed_in_float32() -> None:
    """A bfloat16 sum of 4096 products would be off by a hundredth."""
    rng = np.random.default_rng(2)
    x, upstream = (
        tf.cast(rng.normal(size=(1, 16, 16, 16, 8)), "bfloat16")
        for _ in range(2)
    )
    found = []
    for policy in ("mixed_bfloat16", "float32"):
        layer = GroupNorm(2, dtype=policy)
        with tf.GradientTape() as tape:
            y = layer(x)
        weights = layer.trainable_weights
        found.append(
            tape.gradient(y, weights, tf.cast(upstream, layer.compute_dtype))
        )
    for low, exact in zip(*found, strict=True):
        np.testing.assert_allclose(low, exact, rtol=1e-5, atol=1e-3)


def test_graph_of_unknown_sizes_equals_eager() -> None:
    layer, x = built(2), random_input()

    @tf.function(
        input_signature=[tf.TensorSpec((None,) * 4 + (8,), tf.float32)]
    )
    def graph(image: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(image)
            y = layer(image)
        return y, tape.gradient(y, image, output_gradients=image**2)

    with tf.GradientTape() as tape:
        image = tf.constant(x)
        tape.watch(image)
        y = layer(image)
    expected = (y, tape.gradient(y, image, output_gradients=image**2))
    for a, b in zip(graph(x), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="divisor of 8 channels, received 3"):
        GroupNorm(3)(random_input())


def test_kinds() -> None:
    x = keras.Input((None, None, None, 24))
    kinds = {"group": 3, "instance": -1}
    for kind, groups in kinds.items():
        layer = normalize(x, kind, kind)._keras_history.operation
        assert (layer.num_groups, layer.name) == (groups, kind)
    batch = normalize(x, "batch", "b")._keras_history.operation
    assert isinstance(batch, keras.layers.BatchNormalization)
    assert batch.synchronized
    with pytest.raises(ValueError, match="group, instance or batch.*'layer'"):
        normalize(x, "layer", "n")
