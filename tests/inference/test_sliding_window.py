"""Sliding window: exactly 1, a slow twin, bounded memory, mirroring."""

import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpartial.inference.sliding_window import (
    finished_boxes,
    patch_function,
    sliding_window,
    sliding_window_labels,
)
from tfpartial.inference.windows import (
    gaussian_weights,
    padding_to_window,
    window_starts,
)

WINDOW = (8, 6, 4)


class Pointwise(keras.Model):
    """Logits from the value and the place in the window, cropped."""

    def __init__(self, num_labels=3, context=(0, 0, 0)):
        super().__init__()
        draw = np.random.default_rng(5)
        self.slopes = tf.constant(draw.normal(size=num_labels), tf.float32)
        self.context_voxels = context

    def call(self, image, training=False):
        a, b, c = self.context_voxels
        i, j, k = (int(n) for n in image.shape[1:4])
        inner = image[:, a : i - a, b : j - b, c : k - c]
        ramp = tf.linspace(-1.0, 1.0, i - 2 * a)[:, None, None, None]
        mean = tf.reduce_mean(image, axis=(1, 2, 3), keepdims=True)
        return (inner + ramp + mean) * self.slopes


def whole(predict, image, window, overlap=0.5, labels=3, fill=-1.0, **more):
    result = np.full((*image.shape, labels), np.nan, np.float32)
    visits = np.zeros(image.shape, int)
    for box, values in finished_boxes(
        predict, image, window, overlap, labels, 3, fill, **more
    ):
        result[box] = values
        visits[box] += 1
    assert (visits == 1).all()
    return result


def slow_twin(predict, image, window, overlap, num_labels, fill, context):
    """One window after the other into whole arrays, in float64."""
    padding = padding_to_window(image.shape, window)
    border = [
        (a + c, b + c) for (a, b), c in zip(padding, context, strict=True)
    ]
    padded = np.pad(image, border, constant_values=fill)
    size = [max(s, w) for s, w in zip(image.shape, window, strict=True)]
    values, total = np.zeros((*size, num_labels)), np.zeros((*size, 1))
    weights = gaussian_weights(window)[..., None].astype(float)
    for i in window_starts(size[0], window[0], overlap):
        for j in window_starts(size[1], window[1], overlap):
            for k in window_starts(size[2], window[2], overlap):
                given = tuple(
                    slice(s, s + w + 2 * c)
                    for s, w, c in zip((i, j, k), window, context, strict=True)
                )
                taken = tuple(
                    slice(s, s + w)
                    for s, w in zip((i, j, k), window, strict=True)
                )
                values[taken] += (
                    weights * predict(padded[given][None, ..., None])[0]
                )
                total[taken] += weights
    inside = tuple(
        slice(a, a + s) for (a, _), s in zip(padding, image.shape, strict=True)
    )
    return (values / total)[inside]


@pytest.mark.parametrize(
    "shape", [(20, 13, 11), (8, 6, 4), (3, 2, 1), (30, 4, 9)]
)
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
def test_a_constant_one_comes_back_as_exactly_one(shape, overlap):
    def one(windows):
        return np.ones((*windows.shape[:4], 2), np.float32)

    image = np.zeros(shape, np.float32)
    result = whole(one, image, WINDOW, overlap, labels=2)
    assert result.shape == (*shape, 2)
    assert (result == 1).all()


@pytest.mark.parametrize("shape", [(17, 13, 11), (5, 9, 3)])
@pytest.mark.parametrize("context", [(0, 0, 0), (2, 1, 3)])
def test_equals_the_slow_twin(shape, context):
    image = np.random.default_rng(1).normal(size=shape).astype("f4")
    predict = patch_function(Pointwise(context=context), WINDOW)
    found = whole(predict, image, WINDOW, context_voxels=context)
    expected = slow_twin(predict, image, WINDOW, 0.5, 3, -1.0, context)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_windows_per_batch_changes_nothing():
    image = np.random.default_rng(1).normal(size=(17, 13, 11)).astype("f4")
    predict = patch_function(Pointwise(), WINDOW)
    one, _ = sliding_window(predict, image, WINDOW, 0.5, 3, 1, 0.0)
    many, kept = sliding_window(
        predict, image, WINDOW, 0.5, 3, 7, 0.0, keep_probabilities=True
    )
    np.testing.assert_array_equal(one, many)
    assert kept.dtype == np.float16
    assert (
        np.take_along_axis(kept, many[..., None], -1)[..., 0] == kept.max(-1)
    ).all()


def test_memory_does_not_grow_with_the_length_of_the_scan():
    labels = 20

    def predict(windows):
        return np.ones((*windows.shape[:4], labels), np.float32)

    def peak(length):
        image = np.ones((24, 24, length), np.float32)
        tracemalloc.start()
        sliding_window(predict, image, (8, 8, 8), 0.5, labels, 2, 0.0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most - image.size  # the labels: 1 byte/voxel

    slab = 24 * 24 * 8 * (labels + 1) * 4
    assert peak(200) < peak(20) + 0.2 * slab
    # Half a slab is begun, a row of windows is a third; two windows wait.
    assert peak(200) < 2 * slab


@pytest.mark.parametrize("context", [(0, 0, 0), (2, 1, 3)])
def test_windows_of_air_are_predicted_once_and_change_nothing(context):
    image = np.full((26, 13, 11), -1.0, np.float32)
    image[2:9, 3:7, 2:6] = np.random.default_rng(1).normal(size=(7, 4, 4))
    network = patch_function(Pointwise(context=context), WINDOW)
    seen = []

    def predict(windows):
        seen.extend((window == -1).all() for window in windows)
        return network(windows)

    found = whole(predict, image, WINDOW, context_voxels=context)
    expected = slow_twin(network, image, WINDOW, 0.5, 3, -1.0, context)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    everywhere = [
        window_starts(n, w, 0.5)
        for n, w in zip(image.shape, WINDOW, strict=True)
    ]
    assert sum(seen) == 1
    assert 1 < len(seen) < 0.7 * np.prod([len(s) for s in everywhere])


def test_a_mirrored_scan_gives_the_mirrored_labels_swapped():
    """Trap 4: with mirroring on, left and right are treated alike."""
    image = np.random.default_rng(2).normal(size=(16, 6, 4)).astype("f4")
    swap = (0, 2, 1)
    predict = patch_function(Pointwise(), WINDOW, swap)
    found = whole(predict, image, WINDOW)
    mirrored = whole(predict, image[::-1], WINDOW)
    np.testing.assert_allclose(
        mirrored[::-1][..., list(swap)], found, atol=1e-6
    )
    plain = whole(patch_function(Pointwise(), WINDOW), image, WINDOW)
    assert np.abs(plain - found).max() > 0.01


def test_mirroring_is_the_mean_with_the_swapped_mirror():
    image = np.random.default_rng(2).normal(size=(2, *WINDOW, 1)).astype("f4")
    network = Pointwise()
    plain = patch_function(network, WINDOW)
    turned = plain(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    expected = (plain(image) + turned[..., [0, 2, 1]]) / 2
    found = patch_function(network, WINDOW, (0, 2, 1))(image)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_compilation_per_network_and_window():
    network = Pointwise()
    assert patch_function(network, WINDOW) is patch_function(network, WINDOW)


def test_labels_of_a_network_need_no_more_than_an_image(run):
    from tfpartial.runs.loaded_run import load_network

    image = np.random.default_rng(2).normal(size=(20, 18, 9)).astype("f4")
    labels = sliding_window_labels(
        load_network(run), image, (16, 16, 16), overlap=0.25
    )
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8
    assert labels.max() < 4
