"""How a scan lies in its canonical grid, as a graph: for the export alone.

In: shape and affine, as tensors. Out: `Frame`, the maps between the indices
of scan and canonical grid, float64. Twin of `tfpartial.scans.resample`: a
scan and its canonical grid have the same centre, so the maps need directions
and spacings only.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import tensorflow as tf

from tfpartial.scans.orientation import (
    ALIGNED_TOLERANCE,
    MIN_STRETCH,
    RIGHT_ANGLE_TOLERANCE,
    SPACING_LIMITS_MM,
)
from tfpartial.scans.resample import OVERHANG_VOXELS, TIE_VOXELS

_ORDERS = list(itertools.permutations(range(3)))


class Frame(NamedTuple):
    """How a scan lies in its canonical grid.

    Attributes:
        order: (3,) int32, voxel axis of the scan along each world axis.
        flipped: (3,) bool, whether it runs against that axis.
        source_shape: (3,) int32 of the scan in RAS+ order.
        shape: (3,) int32 (I, J, K) of the canonical grid.
        matrix: (3, 3) float64, canonical index -> scan index (RAS+ order).
        offset: (3,) float64, likewise.
        back_matrix: (3, 3) float64, scan index -> canonical index.
        back_offset: (3,) float64, likewise, with the tie rule.
    """

    order: tf.Tensor
    flipped: tf.Tensor
    source_shape: tf.Tensor
    shape: tf.Tensor
    matrix: tf.Tensor
    offset: tf.Tensor
    back_matrix: tf.Tensor
    back_offset: tf.Tensor


def split_affine(affine: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return directions (3, 3) and spacing (3,): `volumes.split_affine`."""
    columns = affine[:3, :3]
    spacing = tf.sqrt(tf.reduce_sum(tf.square(columns), axis=0))
    low, high = SPACING_LIMITS_MM
    usable = tf.reduce_all(tf.math.is_finite(affine)) & tf.reduce_all(
        (spacing >= low) & (spacing <= high)
    )
    spacing = only_if(
        usable, spacing, "affine: expected finite numbers, spacings in mm"
    )
    directions = columns / spacing
    stretch, left, right = tf.linalg.svd(directions)
    nearest = tf.matmul(left, right, transpose_b=True)
    nearest = only_if(
        stretch[-1] >= MIN_STRETCH,
        nearest,
        "affine: expected an invertible one",
    )
    rounded = tf.round(nearest)
    aligned = tf.reduce_max(tf.abs(nearest - rounded)) < ALIGNED_TOLERANCE
    clean = tf.where(aligned, rounded, nearest)
    sheared = tf.reduce_max(tf.abs(directions - nearest)) > ALIGNED_TOLERANCE
    kept = tf.where(sheared, directions, clean)
    return kept, tf.round(spacing * 1e9) / 1e9


def invert_directions(directions: tf.Tensor) -> tf.Tensor:
    """Return the inverse of directions: `volumes.invert_directions`."""
    product = tf.matmul(directions, directions, transpose_a=True)
    off = tf.reduce_max(tf.abs(product - tf.eye(3, dtype=product.dtype)))
    return tf.where(
        off < RIGHT_ANGLE_TOLERANCE,
        tf.transpose(directions),
        tf.linalg.inv(directions),
    )


def frame_of(
    shape: tf.Tensor, affine: tf.Tensor, spacing_mm: tuple[float, float, float]
) -> Frame:
    """Return the frame of a scan: `volumes.canonical_grid`, `index_map`.

    Formula:
        n = max(1, ceil(|D diag(own)| @ shape / spacing - 0.01))
        scan index = middle + D^-1 (spacing/own) (canonical index - middle)

    Args:
        shape: (3,) int32 of the scan.
        affine: (4, 4) float64, voxel -> RAS+ mm.
        spacing_mm: of the canonical grid.
    """
    directions, own = split_affine(affine)
    agreement = tf.stack(
        [
            tf.add_n([tf.abs(directions[w, v]) for w, v in enumerate(order)])
            for order in _ORDERS
        ]
    )
    order = tf.gather(tf.constant(_ORDERS, tf.int32), tf.argmax(agreement))
    directions = tf.gather(directions, order, axis=1)
    flipped = tf.linalg.diag_part(directions) < 0
    directions = tf.where(flipped[None, :], -directions, directions)
    own, source = tf.gather(own, order), tf.gather(shape, order)

    spacing = tf.constant(spacing_mm, tf.float64)
    extent = tf.linalg.matvec(
        tf.abs(directions * own), tf.cast(source, tf.float64)
    )
    count = tf.maximum(tf.math.ceil(extent / spacing - OVERHANG_VOXELS), 1.0)
    middle, source_middle = (
        (count - 1) / 2,
        (tf.cast(source, count.dtype) - 1) / 2,
    )
    matrix = invert_directions(directions) * (spacing[None, :] / own[:, None])
    back = directions * (own[None, :] / spacing[:, None])
    return Frame(
        order,
        flipped,
        source,
        tf.cast(count, tf.int32),
        matrix,
        source_middle - tf.linalg.matvec(matrix, middle),
        back,
        middle - tf.linalg.matvec(back, source_middle) + TIE_VOXELS,
    )


def only_if(condition: tf.Tensor, value: tf.Tensor, message: str) -> tf.Tensor:
    """Return the value; what needs it does not run if the condition fails."""
    check = tf.debugging.Assert(condition, [message, value])
    # Eagerly there is no operation to wait for: it has raised already.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(value)
