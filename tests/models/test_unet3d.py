"""The network: shapes, dtypes, seeds, dropout, names and serialisation."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tfpartial.models import (
    HashDropout,
    build_network,
    build_unet3d,
    dropout_keys,
)

SMALL = {"num_labels": 3, "filters": [4, 6, 8]}


@pytest.fixture
def bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def patch(*size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, *size, 1)).astype(np.float32)


def drops(network: keras.Model) -> list[HashDropout]:
    return [x for x in network.layers if isinstance(x, HashDropout)]


@pytest.mark.parametrize("normalization", ["group", "instance", "batch"])
@pytest.mark.parametrize(
    ("downsampling", "upsampling"),
    [("strided", "transposed"), ("max", "nearest")],
)
@pytest.mark.parametrize("blocks_per_level", [1, 2])
def test_any_multiple_of_the_divisor_keeps_its_size(
    normalization: str, downsampling: str, upsampling: str,
    blocks_per_level: int,
) -> None:  # fmt: skip
    network = build_unet3d(
        seed=0,
        normalization=normalization,
        downsampling=downsampling,
        upsampling=upsampling,
        blocks_per_level=blocks_per_level,
        **SMALL,
    )
    assert (network.divisor, network.context_voxels) == (4, (0, 0, 0))
    for size in ((4, 8, 12), (8, 8, 8)):
        logits = network(patch(*size))
        assert tuple(logits.shape) == (2, *size, 3)
        assert logits.dtype == "float32"


def test_levels_set_the_divisor() -> None:
    network = build_unet3d(num_labels=2, seed=0, filters=[2, 2])
    assert network.divisor == 2


def test_logits_are_float32_under_mixed_bfloat16(bfloat16: None) -> None:
    network = build_unet3d(seed=0, dropout=[0.5], **SMALL)
    assert network(patch(8, 8, 8)).dtype == "float32"
    assert network.get_layer("down0_block0_conv1").compute_dtype == "bfloat16"
    assert all(w.dtype == "float32" for w in network.trainable_weights)


def test_seed_decides_the_weights_and_layers_differ() -> None:
    one, same, other = (build_unet3d(seed=s, **SMALL) for s in (1, 1, 2))
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    kernel = "down1_block0_conv2"
    first = one.get_layer(kernel).get_weights()[0]
    assert np.any(first != other.get_layer(kernel).get_weights()[0])
    next_to_it = one.get_layer("down1_block0_conv1").get_weights()[0]
    assert first.shape == next_to_it.shape
    assert np.any(first != next_to_it)


def test_name_is_the_models_and_layers_are_named_by_place() -> None:
    student = build_unet3d(seed=0, model_name="student", **SMALL)
    teacher = build_unet3d(seed=0, model_name="teacher", **SMALL)
    assert (student.name, teacher.name) == ("student", "teacher")
    names = [layer.name for layer in student.layers]
    assert names == [layer.name for layer in teacher.layers]
    assert {"down0_block0_conv1", "up0_block0_norm2", "logits"} < set(names)


def test_dropout_rates_belong_to_the_last_stages() -> None:
    network = build_unet3d(seed=0, dropout=[0.5, 0.0, 0.1], **SMALL)
    found = {layer.name: layer.rate for layer in drops(network)}
    assert found == {"bottleneck_dropout": 0.5, "up0_dropout": 0.1}
    ids = [layer.layer_id for layer in drops(network)]
    assert len(set(ids)) == len(ids)
    assert not drops(build_unet3d(seed=0, **SMALL))
    most = drops(build_unet3d(seed=0, dropout=[0.5] * 5, **SMALL))
    assert [layer.name for layer in most] == [
        f"{stage}_dropout"
        for stage in ("down0", "down1", "bottleneck", "up1", "up0")
    ]


def test_dropout_is_the_same_for_rows_apart_and_together() -> None:
    network = build_unet3d(seed=0, dropout=[0.5, 0.5, 0.5], **SMALL)
    x = patch(8, 8, 8)

    def run(rows: slice, stream: int = 0) -> np.ndarray:
        samples = np.arange(2, dtype=np.int32)[rows]
        with dropout_keys(0, 3, samples, stream):
            return np.asarray(network(x[rows], training=True))

    together = run(slice(0, 2))
    apart = np.concatenate([run(slice(0, 1)), run(slice(1, 2))])
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert np.abs(together - run(slice(0, 2), stream=1)).max() > 1e-2


def test_batch_equals_one_by_one() -> None:
    network = build_unet3d(seed=0, **SMALL)
    x = patch(8, 4, 8)
    alone = np.concatenate([network(x[:1]), network(x[1:])])
    np.testing.assert_allclose(network(x), alone, atol=1e-5)


def test_every_weight_is_trained() -> None:
    import tensorflow as tf

    network = build_unet3d(seed=0, **SMALL)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(patch(8, 8, 8))))
    gradients = tape.gradient(loss, network.trainable_variables)
    silent = [
        v.path
        for v, g in zip(network.trainable_variables, gradients, strict=True)
        if g is None or not np.any(g)
    ]
    assert not silent


def test_saved_and_loaded_without_custom_objects(tmp_path: Path) -> None:
    network = build_unet3d(seed=0, dropout=[0.5], **SMALL)
    network.save(tmp_path / "n.keras")
    again = keras.models.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(
        again(patch(8, 8, 8)), network(patch(8, 8, 8))
    )
    assert (again.divisor, again.context_voxels) == (4, (0, 0, 0))


def test_weights_travel_between_differently_named_models(
    tmp_path: Path,
) -> None:
    student = build_unet3d(seed=0, model_name="student", **SMALL)
    other = build_unet3d(seed=1, model_name="teacher", **SMALL)
    student.save_weights(tmp_path / "s.weights.h5")
    other.load_weights(tmp_path / "s.weights.h5")
    np.testing.assert_array_equal(
        student(patch(8, 8, 8)), other(patch(8, 8, 8))
    )


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"filters": [4]}, "network.filters.*at least 2 items"),
        ({"filters": [4, 0]}, r"network.filters.1.*equal to 1, found 0"),
        ({"dropout": [0.1] * 6}, "at most 5 rates.*found 6. Remove 1"),
        ({"downsampling": "mean"}, "'strided' or 'max', found 'mean'"),
        ({"upsampling": "cubic"}, "'transposed' or 'nearest', found 'cubic'"),
        ({"normalization": "none"}, "'instance' or 'batch', found 'none'"),
    ],
)
def test_impossible_sizes_are_named(sizes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_network("unet3d", seed=0, **{**SMALL, **sizes})
