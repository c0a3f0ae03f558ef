"""DeepMedic: the published table, counts and initial weights."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from narrow_deepmedic import NARROW, cube, randomise

from tfpartial.models import build_deepmedic, build_network


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    network = build_deepmedic(seed=0, **NARROW)
    randomise(network)
    return network


def count(variables: list[keras.Variable]) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)


@pytest.mark.parametrize(
    ("channels", "labels", "published"), [(1, 7, 5_139_220), (2, 5, 5_141_051)]
)
def test_wide_has_the_published_parameters(
    channels: int, labels: int, published: int
) -> None:
    network = build_deepmedic(num_labels=labels, seed=0, channels=channels)
    trainable = network.trainable_variables
    assert count(trainable) == published
    assert published == 5_134_680 + 2_433 * channels + 301 * labels
    assert len(trainable) == 103
    kernels = [v for v in trainable if len(v.shape) == 5 and "conv" in v.path]
    assert len(kernels) == 27
    if channels == 1:
        assert count(kernels) == 5_132_730
        # Mean and variance of the 21 + 3 normalised inputs.
        normalised = 3 * (30 + 40 + 50 + 60 + 70 + 80 + 90) + 3 * 300
        moving = [v for v in network.weights if "moving" in v.path]
        assert count(moving) == 2 * normalised


def test_small_is_a_fifth_of_wide() -> None:
    wide, small = (
        build_deepmedic(num_labels=7, seed=0, preset=preset)
        for preset in ("wide", "small")
    )
    for layer in wide.layers:
        if isinstance(layer, keras.layers.Conv3D) and layer.filters != 7:
            assert small.get_layer(layer.name).filters * 5 == layer.filters
    assert count(small.trainable_variables) == 207_340


WIDTHS = (30, 40, 50, 60, 70, 80, 90, 100)


def test_every_layer_has_the_published_shape() -> None:
    """Segment 37 / 23 / 21 -> 21, as in the table of docs/deepmedic.md."""
    network = build_deepmedic(num_labels=7, seed=0)
    expected = {f"x{f}_input": (n, 1) for f, n in ((1, 37), (3, 23), (5, 21))}
    for layer, width in enumerate(WIDTHS, start=1):
        for factor, given in ((1, 37), (3, 23), (5, 21)):
            name = f"x{factor}_layer{layer}_conv"
            expected[name] = (given - 2 * layer, width)
    expected |= {
        f"x{f}_layer{n}_add": (s - 2 * n, 20 + 10 * n)
        for f, s in ((1, 37), (3, 23), (5, 21))
        for n in (4, 6, 8)
    }
    expected |= {"x3_up": (21, 100), "x5_up": (21, 100), "join": (21, 300)}
    expected |= {"fc1_pad": (23, 300), "fc1_conv": (21, 300)}
    expected |= {"fc2_conv": (21, 300), "fc2_add": (21, 300)}
    expected |= {"fc3_conv": (21, 7)}
    layers = keras.Model(
        network.input, {name: network.get_layer(name).output
                        for name in expected}
    )  # fmt: skip
    found = layers.compute_output_spec(keras.KerasTensor((1, 101, 101, 101, 1)))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        name: (1, n, n, n, channels) for name, (n, channels) in expected.items()
    }
    adds = [x.name for x in network.layers if x.name.endswith("_add")]
    assert len(adds) == 3 * 3 + 1


def test_seed_decides_the_weights_and_layers_differ() -> None:
    one, same, other = (build_deepmedic(seed=s, **NARROW) for s in (1, 1, 2))
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    def kernel(network: keras.Model, name: str) -> np.ndarray:
        return network.get_layer(name).get_weights()[0]

    name = "x1_layer5_conv"
    assert np.any(kernel(one, name) != kernel(other, name))
    assert np.any(kernel(one, name) != kernel(one, "x3_layer5_conv"))


def test_initial_weights_are_normal_and_not_truncated() -> None:
    network = build_deepmedic(num_labels=7, seed=0)
    for name, fan_in in (("fc1", 27 * 300), ("x3_layer8", 27 * 90)):
        kernel = network.get_layer(f"{name}_conv").get_weights()[0]
        sd = np.sqrt(2 / fan_in)
        assert kernel.std() == pytest.approx(sd, rel=0.01)
        # Beyond two standard deviations lie 4.55 % of a normal variable.
        share = np.mean(np.abs(kernel) > 2 * sd)
        assert share == pytest.approx(0.0455, rel=0.05)
    kernels = [v for v in network.trainable_variables if len(v.shape) == 5]
    # The terms that L2 of 1e-4 and L1 of 1e-6 add to the published loss.
    squares = sum(float(np.square(np.asarray(v)).sum()) for v in kernels)
    assert 1e-4 * squares == pytest.approx(0.433, abs=2e-3)
    sizes = sum(float(np.abs(np.asarray(v)).sum()) for v in kernels)
    assert 1e-6 * sizes == pytest.approx(0.106, abs=1e-3)
    slopes = network.get_layer("fc1_prelu").get_weights()[0]
    assert slopes.shape == (1, 1, 1, 300)
    np.testing.assert_array_equal(slopes, np.float32(0.01))


def test_moving_statistics_are_as_old_as_the_published() -> None:
    momentum = build_deepmedic(seed=0, **NARROW).get_layer("fc1_norm").momentum
    ages = np.arange(5000)
    moving = ((1 - momentum) * momentum**ages * ages).sum()
    rolling = np.mean(np.arange(60))
    assert moving == pytest.approx(rolling) == pytest.approx(29.5)


def test_every_weight_is_trained() -> None:
    network = build_deepmedic(seed=0, **NARROW)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(cube(6), training=True)))
    gradients = tape.gradient(loss, network.trainable_variables)
    silent = [
        v.path
        for v, g in zip(network.trainable_variables, gradients, strict=True)
        if g is None or not np.any(g)
    ]
    assert not silent


def test_logits_are_float32_under_mixed_bfloat16() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_deepmedic(seed=0, **NARROW)
    finally:
        keras.config.set_dtype_policy(before)
    assert network.get_layer("fc2_conv").compute_dtype == "bfloat16"
    logits = network(cube(4))
    assert logits.dtype == "float32"
    assert np.all(np.isfinite(logits))
    assert all(w.dtype == "float32" for w in network.trainable_weights)


def test_saved_and_loaded_without_custom_objects(
    narrow: keras.Model, tmp_path: Path
) -> None:
    narrow.save(tmp_path / "n.keras")
    again = keras.models.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(again(cube(4)), narrow(cube(4)))
    assert again.context_voxels == (40, 40, 40)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"preset": "huge"}, "'wide' or 'small', found 'huge'"),
        ({"widths": []}, "network.widths.*at least 1 item"),
        ({"fc_widths": [4, 0]}, "network.fc_widths.1.*equal to 1, found 0"),
        ({"widths": [2] * 7}, r"residual_layers.*up to 7, found \[8\]"),
        ({"residual_layers": [1]}, r"residual_layers.0.*equal to 2, found 1"),
        ({"fc_residual_layers": [3]}, r"up to 2, found \[3\]"),
        ({"dropout": [0.5] * 12}, r"at most 11 rates.*found 12. Remove 1"),
    ],
)  # fmt: skip
def test_impossible_sizes_are_named(sizes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_network("deepmedic", seed=0, **{**NARROW, **sizes})
