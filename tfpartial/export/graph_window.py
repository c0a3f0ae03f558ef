"""The TensorFlow twin of `sliding_window`: for the export alone.

In: canonical int16 HU, planes first. Out: label indices, planes first.
Same windows, same weights, same slabs along K; `windows` is shared.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfpartial.inference.windows import gaussian_weights, window_stride
from tfpartial.types import Shape3

# Below every window of HU, so that clipping turns it into air.
PADDING_HU = tf.int16.min


def window_starts(size: tf.Tensor, window: int, overlap: float) -> tf.Tensor:
    """Return (n,) int32: `windows.window_starts` in the graph."""
    room = size - window
    stride = window_stride(window, overlap)
    count = 1 + (room + stride - 1) // stride
    return tf.range(count) * room // tf.maximum(count - 1, 1)


def sliding_window_labels(
    probabilities: Callable[[tf.Tensor], tf.Tensor],
    hu: tf.Tensor,
    window_shape: Shape3,
    overlap: float,
    num_labels: int,
    context_voxels: Shape3 = (0, 0, 0),
    air_hu: float = PADDING_HU,
) -> tf.Tensor:
    """Segment a canonical scan: `sliding_window.sliding_window`.

    The sums are not divided by the weights: dividing all labels of a voxel by
    the same number does not change which is the largest.

    Args:
        probabilities: (1, i + 2c, ..., 1) int16 HU -> (1, i, j, k, L)
            float32.
        hu: (K, I, J) int16, unpadded.
        window_shape: voxels of the output window.
        overlap: share of a window that its neighbour covers at least.
        num_labels: L.
        context_voxels: voxels per side the input window exceeds the output.
        air_hu: HU up to it are all one value to the network; windows without
            a higher one are alike, and one of them is predicted.

    Returns:
        (K, I, J) uint8.
    """
    size = tf.gather(tf.shape(hu), (1, 2, 0))
    missing = tf.maximum(tf.constant(window_shape) - size, 0)
    before = missing // 2
    context = tf.constant(context_voxels)
    border = tf.stack([before + context, missing - before + context], axis=1)
    padded = tf.pad(
        hu, tf.gather(border, (2, 0, 1)), constant_values=PADDING_HU
    )
    full = size + missing
    starts = [
        window_starts(full[axis], window_shape[axis], overlap)
        for axis in range(3)
    ]
    given = [
        w + 2 * c for w, c in zip(window_shape, context_voxels, strict=True)
    ]

    # One function that is called twice, not two copies of the network.
    predict = tf.function(
        probabilities, input_signature=[tf.TensorSpec((1, *given, 1), tf.int16)]
    )
    air = predict(tf.constant(PADDING_HU, tf.int16, (1, *given, 1)))[0]

    def window(place: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
        begin = tf.stack([k, place[0], place[1]])
        cut = tf.slice(padded, begin, (given[2], given[0], given[1]))
        cut = tf.ensure_shape(cut, (given[2], given[0], given[1]))
        image = tf.transpose(cut, (1, 2, 0))[None, ..., None]
        has_body = tf.cast(tf.reduce_max(cut), tf.float32) > air_hu
        return tf.cond(has_body, lambda: predict(image)[0], lambda: air)

    labels = _slabs(window, full, starts, window_shape, num_labels)
    return tf.slice(
        labels, tf.gather(before, (2, 0, 1)), tf.gather(size, (2, 0, 1))
    )


def _slabs(
    window: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    full: tf.Tensor,
    starts: list[tf.Tensor],
    window_shape: Shape3,
    num_labels: int,
) -> tf.Tensor:
    """Visit all windows, slab after slab; return (K, I, J) uint8."""
    depth = window_shape[2]
    row = depth * num_labels
    grid = tf.meshgrid(starts[0], starts[1], indexing="ij")
    columns = tf.reshape(tf.stack(grid, axis=-1), (-1, 2))
    ends = tf.concat([starts[2][1:], full[2:]], axis=0)
    count = tf.size(ends)
    pieces = tf.TensorArray(
        tf.uint8, count, infer_shape=False, element_shape=(None, None, None)
    )
    area = full[0] * full[1]
    # One row per (i, j): the planes of a voxel column and their labels.
    slab = tf.zeros((area, row), tf.float32)

    def step(
        number: tf.Tensor, slab: tf.Tensor, pieces: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        k = starts[2][number]
        slab = _add_windows(window, slab, columns, k, full[1], window_shape)
        planes = ends[number] - k
        done = tf.reshape(slab, (full[0], full[1], depth, num_labels))
        chosen = tf.argmax(done[:, :, :planes], axis=-1, output_type=tf.int32)
        finished = tf.transpose(tf.cast(chosen, tf.uint8), (2, 0, 1))
        used = planes * num_labels
        slab = tf.pad(slab[:, used:], [[0, 0], [0, used]])
        slab = tf.ensure_shape(slab, (None, row))
        return number + 1, slab, pieces.write(number, finished)

    _, _, pieces = tf.while_loop(
        lambda number, *_: number < count,
        step,
        (0, slab, pieces),
        shape_invariants=(
            tf.TensorShape(()),
            tf.TensorShape((None, row)),
            tf.TensorShape(None),
        ),
        parallel_iterations=1,
    )
    return tf.reshape(pieces.concat(), tf.gather(full, (2, 0, 1)))


def _add_windows(
    window: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    slab: tf.Tensor,
    columns: tf.Tensor,
    k: tf.Tensor,
    size_j: tf.Tensor,
    window_shape: Shape3,
) -> tf.Tensor:
    """Add every window that starts at plane k to the slab."""
    wi, wj, _ = window_shape
    row = slab.shape[1]
    weights = tf.constant(gaussian_weights(window_shape))[..., None]
    inner = tf.range(wi)[:, None] * size_j + tf.range(wj)[None, :]
    inner = tf.reshape(inner, (-1, 1))

    def add(number: tf.Tensor, slab: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place = columns[number]
        weighted = tf.reshape(window(place, k) * weights, (wi * wj, row))
        rows = inner + place[0] * size_j + place[1]
        return number + 1, tf.tensor_scatter_nd_add(slab, rows, weighted)

    _, slab = tf.while_loop(
        lambda number, _: number < tf.shape(columns)[0],
        add,
        (0, slab),
        shape_invariants=(tf.TensorShape(()), tf.TensorShape((None, row))),
        parallel_iterations=1,
    )
    return slab
