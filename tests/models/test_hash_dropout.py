"""Masks: right rate, independent, and the same for any layout of replicas."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import slow_dropout

from tfpartial.models import HashDropout, dropout_keys

SHAPE = (2, 12, 10, 8, 16)
VALUES = int(np.prod(SHAPE))
# Six standard deviations of a mean (or correlation) over VALUES coin flips.
SIX_SIGMA = 6 / np.sqrt(VALUES)


def mask(
    *,
    rate: float = 0.5,
    seed: int = 1,
    step: int = 5,
    samples: tuple[int, ...] = (0, 1),
    stream: int = 0,
    layer_id: int = 0,
    shape: tuple[int, ...] = SHAPE,
) -> np.ndarray:
    """Return the mask as 0 or 1."""
    layer = HashDropout(rate, layer_id)
    with dropout_keys(seed, step, np.array(samples, np.int32), stream):
        dropped = layer(np.ones(shape, np.float32), training=True)
    return (np.asarray(dropped) > 0).astype(np.float64)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9])
def test_equals_slow_twin(rate: float) -> None:
    shape = (2, 3, 2, 4, 5)
    keys = {"seed": 2**31 + 9, "step": 123_456, "stream": 1, "layer_id": 3}
    fast = mask(rate=rate, samples=(7, 70_000), shape=shape, **keys)
    slow = slow_dropout.mask(shape, rate, samples=[7, 70_000], **keys)
    np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.8])
def test_rate_is_the_share_dropped(rate: float) -> None:
    # The standard deviation of a coin flip is at most one half.
    assert 1 - mask(rate=rate).mean() == pytest.approx(rate, abs=SIX_SIGMA / 2)


def test_kept_values_are_scaled_so_that_the_mean_stays() -> None:
    layer = HashDropout(0.2, 0)
    with dropout_keys(1, 2, np.array([0]), 0):
        dropped = np.asarray(layer(np.full((1, 50, 4), 8.0), training=True))
    assert set(np.unique(dropped)) == {0.0, np.float32(8.0 / 0.8)}


def test_split_over_replicas_gives_the_same_masks() -> None:
    together = mask(samples=(4, 5))
    one = (1, *SHAPE[1:])
    parts = [mask(samples=(s,), shape=one) for s in (4, 5)]
    np.testing.assert_array_equal(together, np.concatenate(parts))


@pytest.mark.parametrize(
    "change",
    [
        {"stream": 1},
        {"step": 6},
        {"layer_id": 1},
        {"seed": 2},
        {"samples": (1, 2)},
        {"samples": (2, 3)},
    ],
    ids=["stream", "step", "layer", "seed", "shifted_rows", "rows"],
)
def test_each_key_gives_an_independent_mask(change: dict) -> None:
    """Student and teacher (stream), steps, layers and samples."""
    assert abs(correlation(mask(), mask(**change))) < SIX_SIGMA


def test_samples_voxels_and_channels_are_independent() -> None:
    first = mask()
    limit = 2 * SIX_SIGMA  # each compares about half of the values
    assert abs(correlation(first[0], first[1])) < limit
    for axis in (1, 2, 3, 4):
        near = np.moveaxis(first, axis, 0)
        assert abs(correlation(near[1:], near[:-1])) < limit
    channels = np.corrcoef(first.reshape(-1, SHAPE[-1]).T)
    off_diagonal = channels[~np.eye(SHAPE[-1], dtype=bool)]
    assert np.abs(off_diagonal).max() < 6 / np.sqrt(VALUES / SHAPE[-1])


def test_every_channel_and_plane_has_the_rate() -> None:
    first = mask()
    for axes in ((0, 1, 2, 3), (1, 2, 3, 4), (0, 2, 3, 4)):
        means = first.mean(axis=axes)
        limit = 6 * 0.5 / np.sqrt(VALUES / means.size)
        assert np.abs(means - 0.5).max() < limit


def test_triples_of_channels_are_independent() -> None:
    """A linear hash would fix the parity of some channels."""
    signs = 1 - 2 * mask().reshape(-1, SHAPE[-1])
    limit = 7 / np.sqrt(len(signs))
    for a in range(0, 14):
        product = signs[:, a] * signs[:, a + 1] * signs[:, a + 2]
        assert abs(product.mean()) < limit


def test_identity_without_training_and_at_rate_zero() -> None:
    x = np.ones(SHAPE, np.float32)
    with dropout_keys(1, 2, np.arange(2), 0):
        np.testing.assert_array_equal(HashDropout(0.5, 0)(x), x)
        np.testing.assert_array_equal(HashDropout(0.0, 0)(x, training=True), x)


def test_gradient_is_the_mask() -> None:
    x = tf.ones((1, 20, 4))
    with tf.GradientTape() as tape, dropout_keys(1, 2, np.array([0]), 0):
        tape.watch(x)
        y = HashDropout(0.5, 0)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_without_keys_masks_are_drawn_anew() -> None:
    layer = HashDropout(0.5, 0)
    x = np.ones(SHAPE, np.float32)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert 1 - (first > 0).mean() == pytest.approx(0.5, abs=SIX_SIGMA)
    assert abs(correlation(first > 0, second > 0)) < SIX_SIGMA


def test_keys_end_with_the_block_also_after_an_error() -> None:
    layer = HashDropout(0.5, 0)
    x = np.ones(SHAPE, np.float32)
    with pytest.raises(KeyError), dropout_keys(1, 2, np.arange(2), 0):
        raise KeyError
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert np.any(first != second)


def test_keys_belong_to_the_thread() -> None:
    """Replicas are traced in threads of their own, one waiting for another."""
    masks, turn = {}, threading.Barrier(2)

    def replica(sample: int) -> None:
        layer = HashDropout(0.5, 0)
        with dropout_keys(1, 5, np.array([sample]), 0):
            turn.wait()  # both blocks are open now
            masks[sample] = layer(np.ones((1, 40, 4)), training=True)
            turn.wait()

    threads = [threading.Thread(target=replica, args=(s,)) for s in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sample in (0, 1):
        expected = mask(samples=(sample,), shape=(1, 40, 4))
        np.testing.assert_array_equal(np.asarray(masks[sample]) > 0, expected)


def test_two_replicas_draw_the_masks_of_one(
    two_replicas: tf.distribute.Strategy,
) -> None:
    with two_replicas.scope():
        layer = HashDropout(0.5, 0)
        layer.build((None, 30, 4))
    rows = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant([context.replica_id_in_sync_group])
    )

    @tf.function
    def replica(row: tf.Tensor) -> tf.Tensor:
        with dropout_keys(1, 5, row, 0):
            return layer(tf.ones((1, 30, 4)), training=True)

    values = two_replicas.run(replica, args=(rows,)).values
    together = np.concatenate([v.numpy() for v in values]) > 0
    np.testing.assert_array_equal(together, mask(shape=(2, 30, 4)))


def test_graph_with_unknown_shape_and_step_equals_eager() -> None:
    layer = HashDropout(0.5, 0)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,) * 4 + (16,), tf.float32),
            tf.TensorSpec((), tf.int64),
        ]
    )
    def graph(x: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        with dropout_keys(1, step, tf.range(tf.shape(x)[0]), 0):
            return layer(x, training=True)

    for step in (5, 6):
        masks = graph(tf.ones(SHAPE), step).numpy() > 0
        np.testing.assert_array_equal(masks, mask(step=step))


def test_bfloat16_keeps_its_dtype_and_mask() -> None:
    layer = HashDropout(0.5, 0, dtype="mixed_bfloat16")
    with dropout_keys(1, 5, np.arange(2), 0):
        dropped = layer(np.ones(SHAPE, np.float32), training=True)
    assert dropped.dtype == "bfloat16"
    np.testing.assert_array_equal(dropped.numpy() > 0, mask())


def test_serialises() -> None:
    layer = HashDropout(0.3, 4, name="drop")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert (again.rate, again.layer_id, again.name) == (0.3, 4, "drop")


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_impossible_rate_is_named(rate: float) -> None:
    with pytest.raises(ValueError, match=f"0 <= rate < 1, received {rate}"):
        HashDropout(rate, 0)
