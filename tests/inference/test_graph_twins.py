"""The graph repeats `volumes` and `sliding_window`."""

import numpy as np
import pytest
import tensorflow as tf

from tfpartial import scans as volumes
from tfpartial.export import graph_preprocess as graph
from tfpartial.export import graph_window
from tfpartial.export.graph_frame import frame_of
from tfpartial.inference.sliding_window import sliding_window
from tfpartial.scans import Volume

SPACING_MM = (4.0, 3.0, 5.0)
HU_WINDOW = (-200.0, 200.0)


def turned(volume: Volume, degrees: float, about: int) -> Volume:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.eye(4)
    a, b = [axis for axis in range(3) if axis != about]
    rotation[a, a], rotation[a, b] = c, -s
    rotation[b, a], rotation[b, b] = s, c
    return Volume(volume.array, rotation @ volume.affine)


def stored_as(volume: Volume, order: tuple, flips: tuple) -> Volume:
    """The same scan in space with other voxel axes."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    array = volume.array.transpose(order)
    for axis, source in enumerate(order):
        flip = flips[axis]
        change[source, axis] = -1 if flip else 1
        change[source, 3] = volume.shape[source] - 1 if flip else 0
    array = array[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    return Volume(np.ascontiguousarray(array), volume.affine @ change)


def tilted(volume: Volume, degrees: float) -> Volume:
    """Slices shifted towards anterior, as by a tilted gantry."""
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(degrees))
    return Volume(volume.array, shear @ volume.affine)


def in_graph(volume, spacing=SPACING_MM):
    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None), tf.float32),
            tf.TensorSpec((4, 4), tf.float64),
        ]
    )
    def prepare(hu, affine):
        frame = frame_of(tf.shape(hu), affine, spacing)
        canonical = graph.resample_to_canonical(hu, frame)
        mean, sd = graph.body_statistics(canonical, HU_WINDOW, -500.0)
        labels = tf.cast(canonical // 16 % 256, tf.uint8)
        return canonical, mean, sd, graph.restore_to_scan(labels, frame)

    hu, mean, sd, restored = prepare(
        volume.array.astype(np.float32), volume.affine
    )
    return hu.numpy().transpose(1, 2, 0), float(mean), float(sd), restored


VARIANTS = {
    "ras": lambda v: v,
    "lps": lambda v: stored_as(v, (0, 1, 2), (True, True, False)),
    "pli": lambda v: stored_as(v, (1, 0, 2), (True, True, True)),
    "oblique": lambda v: turned(turned(v, 8, 2), 5, 0),
    "oblique_sar": lambda v: stored_as(
        turned(v, 30, 1), (2, 1, 0), (False, False, False)
    ),
    "tilted": lambda v: tilted(v, 15),
    "hardly_tilted": lambda v: tilted(v, 0.3),
    "tilted_oblique_sar": lambda v: stored_as(
        turned(tilted(v, -8), 20, 2), (2, 1, 0), (False, True, False)
    ),
    "thin": lambda v: Volume(v.array[:, :, 7:8], v.affine),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_preprocessing_there_and_back_is_that_of_volumes(variant, scan):
    volume = VARIANTS[variant](scan)
    expected = volumes.preprocess(volume, SPACING_MM, HU_WINDOW, -500.0)
    hu, mean, sd, restored = in_graph(volume)
    assert hu.shape == expected.hu.shape
    off = np.abs(hu.astype(int) - expected.hu)
    # Halves are rounded by the last bit of an interpolation: 1 HU, rarely.
    assert off.max() <= 1
    assert (off > 0).mean() < 5e-3
    np.testing.assert_allclose(
        (mean, sd), (expected.mean, expected.sd), atol=0.02
    )
    labels = (hu // 16 % 256).astype(np.uint8)
    np.testing.assert_array_equal(
        restored,
        volumes.restore_labels(
            labels, expected.grid, volume.shape, volume.affine
        ),
    )


def test_equal_spacing_is_the_scan_itself():
    array = np.random.default_rng(0).integers(-900, 900, (7, 9, 11), np.int16)
    volume = Volume(array, np.diag([4.0, 3.0, 5.0, 1.0]))
    hu, _, _, restored = in_graph(volume)
    np.testing.assert_array_equal(hu, array)
    np.testing.assert_array_equal(restored, (array // 16 % 256).astype("u1"))


def test_normalise_is_that_of_volumes():
    hu = np.array([[[-3000, -200, 0, 55, 200, 3000]]], np.int16)
    for sd in (50.0, 0.0):
        found = graph.normalise(
            tf.constant(hu), tf.constant(3.5), tf.constant(sd), HU_WINDOW
        )
        np.testing.assert_array_equal(
            found, volumes.normalise(hu, 3.5, sd, HU_WINDOW)
        )


@pytest.mark.parametrize(
    ("array", "affine", "message"),
    [
        (np.full((4, 4, 4), -1000.0), np.eye(4), "no voxel is above"),
        (np.zeros((4, 4, 4)), np.full((4, 4), np.nan), "finite"),
        (np.zeros((4, 4, 4)), np.diag([0.0, 1, 1, 1]), "spacings"),
        (
            np.zeros((4, 4, 4)),
            np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "invertible",
        ),
    ],
)
def test_what_volumes_refuses_the_graph_refuses(array, affine, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        in_graph(Volume(array, np.asarray(affine, float)))


@pytest.mark.parametrize("shape", [(21, 18, 30), (16, 16, 16), (5, 20, 3)])
@pytest.mark.parametrize("context", [(0, 0, 0), (1, 2, 3)])
def test_the_windows_of_the_graph_are_those_of_numpy(shape, context):
    hu = np.random.default_rng(0).integers(-400, 400, shape, np.int16)
    slopes = np.array([-1.0, 0.0, 1.0], np.float32)
    offsets = np.array([-0.5, 0.0, -0.5], np.float32)

    def logits(image):
        """A value, and a mean that depends on where the window stands."""
        a, b, c = context
        i, j, k = (int(n) for n in image.shape[1:4])
        inner = image[:, a : i - a, b : j - b, c : k - c]
        mean = tf.reduce_mean(image, axis=(1, 2, 3), keepdims=True)
        return tf.nn.softmax((inner + mean / 3) * slopes + offsets)

    window, overlap = (16, 8, 8), 0.6
    hu[:, :, shape[2] // 2 :] = -1000
    image = volumes.normalise(hu, 10.0, 100.0, HU_WINDOW)
    expected, _ = sliding_window(
        lambda windows: logits(tf.constant(windows)).numpy(),
        image,
        window,
        overlap,
        3,
        2,
        (-200 - 10) / 100,
        context,
    )
    found = tf.function(graph_window.sliding_window_labels)(
        lambda image: logits(
            graph.normalise(
                image, tf.constant(10.0), tf.constant(100.0), HU_WINDOW
            )
        ),
        tf.constant(hu.transpose(2, 0, 1)),
        window,
        overlap,
        3,
        context,
        HU_WINDOW[0],
    )
    assert len(np.unique(expected)) == 3
    assert (found.numpy().transpose(1, 2, 0) != expected).mean() < 1e-3


def test_the_graph_predicts_air_once():
    hu = np.full((4, 4, 24), -1000, np.int16)
    hu[:, :, 2] = 40
    highest = []

    def note(image):
        highest.append(int(image.max()))
        return np.ones((*image.shape[:4], 2), np.float32)

    def probabilities(image):
        values = tf.numpy_function(note, [image], tf.float32)
        return tf.ensure_shape(values, (1, 4, 4, 4, 2))

    tf.function(graph_window.sliding_window_labels)(
        probabilities, tf.constant(hu.transpose(2, 0, 1)), (4, 4, 4), 0.5, 2,
        air_hu=-200.0,
    )  # fmt: skip
    # Planes 0-4 and 2-6 hold the body; the nine windows behind them do not.
    assert sorted(highest) == [int(graph_window.PADDING_HU), 40, 40]
