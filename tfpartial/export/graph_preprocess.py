"""The TensorFlow twin of `tfpartial.scans`: for the export alone.

In: a scan in HU and its affine, as tensors. Out: canonical int16 HU, body
statistics, and label maps back on the scan's own grid, all inside a graph.
The specification is `tfpartial.scans`; a test holds the two together.

Coordinates are float64. Canonical arrays have planes first, (K, I, J): they
are made and used plane by plane, which bounds the memory of coordinates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import tensorflow as tf

from tfpartial.export.graph_frame import Frame, only_if
from tfpartial.scans.intensity import SD_FLOOR
from tfpartial.scans.preprocess import OUTSIDE_HU

PLANES_AT_ONCE = 8


def resample_to_canonical(volume_hu: tf.Tensor, frame: Frame) -> tf.Tensor:
    """Return (K, I, J) int16 HU on the canonical grid, trilinear, rounded."""
    ordered = tf.reverse(
        tf.transpose(volume_hu, frame.order), _axes(frame.flipped)
    )
    flat = tf.reshape(ordered, [-1])

    def planes(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        place = _coordinates(
            frame.matrix, frame.offset, frame.shape, first, last
        )
        inside = _inside(place, frame.source_shape)
        values = _trilinear(flat, frame.source_shape, place)
        hu = tf.round(tf.where(inside, values, OUTSIDE_HU))
        limits = tf.int16
        return tf.cast(tf.clip_by_value(hu, limits.min, limits.max), tf.int16)

    return _by_planes(planes, frame.shape[2], frame.shape[:2], tf.int16)


def restore_to_scan(labels: tf.Tensor, frame: Frame) -> tf.Tensor:
    """Bring (K, I, J) uint8 labels onto the scan's own voxels, nearest."""
    flat = tf.reshape(labels, [-1])
    size_i, size_j = frame.shape[0], frame.shape[1]

    def planes(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        place = _coordinates(
            frame.back_matrix,
            frame.back_offset,
            frame.source_shape,
            first,
            last,
        )
        inside = _inside(place, frame.shape)
        i, j, k = (
            tf.clip_by_value(tf.cast(tf.floor(p + 0.5), tf.int32), 0, n - 1)
            for p, n in zip(place, tf.unstack(frame.shape), strict=True)
        )
        found = tf.gather(flat, (k * size_i + i) * size_j + j)
        return tf.where(inside, found, tf.zeros_like(found))

    ordered = _by_planes(
        planes, frame.source_shape[2], frame.source_shape[:2], tf.uint8
    )
    turned = tf.reverse(tf.transpose(ordered, (1, 2, 0)), _axes(frame.flipped))
    return tf.transpose(turned, tf.argsort(frame.order))


def body_statistics(
    hu: tf.Tensor, hu_window: tuple[float, float], body_threshold_hu: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and population sd, float64: `volumes.body_statistics`."""
    sums = tf.zeros(3, tf.float64)

    def add(plane: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.cast(hu[plane], tf.float64)
        body = tf.cast(values > body_threshold_hu, tf.float64)
        windowed = tf.clip_by_value(values, *hu_window)
        # Whole numbers of at most 2^15 stay exact in these sums.
        moments = [body, windowed * body, windowed * windowed * body]
        return plane + 1, sums + tf.stack([tf.reduce_sum(m) for m in moments])

    _, sums = tf.while_loop(
        lambda plane, _: plane < tf.shape(hu)[0], add, (0, sums)
    )
    count, total, squares = tf.unstack(sums)
    count = only_if(
        count > 0,
        count,
        f"volume_hu: expected CT in HU, no voxel is above {body_threshold_hu}",
    )
    mean = total / count
    return mean, tf.sqrt(tf.maximum(squares / count - mean * mean, 0.0))


def normalise(
    hu: tf.Tensor,
    mean: tf.Tensor,
    sd: tf.Tensor,
    hu_window: tuple[float, float],
) -> tf.Tensor:
    """Return (clip(hu) - mean) / max(sd, 1) float32: `volumes.normalise`."""
    windowed = tf.clip_by_value(tf.cast(hu, tf.float32), *hu_window)
    scale = tf.maximum(tf.cast(sd, tf.float32), SD_FLOOR)
    return (windowed - tf.cast(mean, tf.float32)) / scale


def _axes(flipped: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.where(flipped)[:, 0], tf.int32)


def _coordinates(
    matrix: tf.Tensor,
    offset: tf.Tensor,
    shape: tf.Tensor,
    first: tf.Tensor,
    last: tf.Tensor,
) -> list[tf.Tensor]:
    """Return the three source coordinates of planes, each (k, I, J)."""
    i = tf.cast(tf.range(shape[0]), tf.float64)[None, :, None]
    j = tf.cast(tf.range(shape[1]), tf.float64)[None, None, :]
    k = tf.cast(tf.range(first, last), tf.float64)[:, None, None]
    return [
        matrix[a, 0] * i + matrix[a, 1] * j + matrix[a, 2] * k + offset[a]
        for a in range(3)
    ]


def _inside(place: list[tf.Tensor], shape: tf.Tensor) -> tf.Tensor:
    """Tell which coordinates lie within the voxel edges of a grid."""
    checks = [
        (p >= -0.5) & (p < tf.cast(n, tf.float64) - 0.5)
        for p, n in zip(place, tf.unstack(shape), strict=True)
    ]
    return checks[0] & checks[1] & checks[2]


def _trilinear(
    flat: tf.Tensor, shape: tf.Tensor, place: list[tf.Tensor]
) -> tf.Tensor:
    """Interpolate (I * J * K,) values; the border is repeated outwards."""
    lower, upper, share = [], [], []
    for p, n in zip(place, tf.unstack(shape), strict=True):
        p = tf.clip_by_value(p, 0.0, tf.cast(n - 1, tf.float64))
        base = tf.floor(p)
        lower.append(tf.cast(base, tf.int32))
        upper.append(tf.minimum(lower[-1] + 1, n - 1))
        share.append(p - base)
    result = tf.zeros_like(place[0])
    for corner in itertools.product((0, 1), repeat=3):
        i, j, k = (
            (lower, upper)[side][axis] for axis, side in enumerate(corner)
        )
        values = tf.gather(flat, (i * shape[1] + j) * shape[2] + k)
        weights = [
            share[axis] if side else 1.0 - share[axis]
            for axis, side in enumerate(corner)
        ]
        weight = weights[0] * weights[1] * weights[2]
        result += weight * tf.cast(values, tf.float64)
    return result


def _by_planes(
    planes: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    size: tf.Tensor,
    plane_shape: tf.Tensor,
    dtype: tf.DType,
) -> tf.Tensor:
    """Make `size` planes a few at a time; return them as (size, I, J)."""
    count = -(-size // PLANES_AT_ONCE)
    pieces = tf.TensorArray(
        dtype, count, infer_shape=False, element_shape=(None, None, None)
    )

    def step(
        number: tf.Tensor, pieces: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.TensorArray]:
        first = number * PLANES_AT_ONCE
        last = tf.minimum(first + PLANES_AT_ONCE, size)
        return number + 1, pieces.write(number, planes(first, last))

    _, pieces = tf.while_loop(
        lambda number, _: number < count,
        step,
        (0, pieces),
        parallel_iterations=1,  # else the coordinates of many steps coexist
    )
    return tf.reshape(pieces.concat(), tf.concat([[size], plane_shape], axis=0))
