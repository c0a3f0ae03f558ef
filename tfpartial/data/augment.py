"""Random changes of a patch: one affine, left/right mirror, intensities.

In: a source region with labels, options, the stateless seed of a row.
Out: a patch with labels; the label axis of its tables mirrored where it is.

Every number is drawn by `tf.random.stateless_*` (Philox, named so that no
device chooses another algorithm) from a seed that belongs to (seed, step,
row). Eager and graph, any number of readers: the same patch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

# What a number is drawn for; folded into the seed of the row. Append only:
# a renumbering changes every training run.
_AXIS, _ANGLE, _SCALE, _MIRROR, _SHIFT, _CONTRAST, _NOISE = range(7)
_MAX_ROWS = 2**20


@dataclass(frozen=True)
class AugmentOptions:
    """What may change, and how much.

    Attributes:
        intensity_shift_sd: sd of what is added to a patch, in units of the
            scan's intensity sd.
        intensity_scale_sd: sd of the factor around 1.
        noise_sd: sd of the noise added to each voxel.
        rotation_degrees: largest angle, about an axis of any direction.
        scale_range: structures become 1 - s to 1 + s times as large.
        mirror_probability: of a left/right mirror.
    """

    intensity_shift_sd: float = 0.0
    intensity_scale_sd: float = 0.0
    noise_sd: float = 0.0
    rotation_degrees: float = 0.0
    scale_range: float = 0.0
    mirror_probability: float = 0.0

    @property
    def turns(self) -> bool:
        """Whether patches are interpolated at all; if not, they are exact."""
        return self.rotation_degrees > 0 or self.scale_range > 0


def row_seed(seed: int, step: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Return the stateless seed, (2,) int64, of one row of one step.

    Formula:
        (seed, step * 2^20 + row): injective for row < 2^20.
    """
    place = tf.cast(step, tf.int64) * _MAX_ROWS + tf.cast(row, tf.int64)
    return tf.stack([tf.constant(seed, tf.int64), place])


def draw_mirror(options: AugmentOptions, seed: tf.Tensor) -> tf.Tensor:
    """Return a bool scalar: whether this row is mirrored left/right."""
    share = _uniform([], seed, _MIRROR, 0.0, 1.0)
    return share < options.mirror_probability


def draw_affine(
    options: AugmentOptions, seed: tf.Tensor, mirrored: tf.Tensor
) -> tf.Tensor:
    """Return the one affine of a row: rotation, scale and mirror composed.

    Formula:
        A = R(axis, angle) / scale * diag(m, 1, 1),  m = -1 where mirrored;
        R = cos I + (1 - cos) a a^T + sin [a]x       (Rodrigues)

    Args:
        options: angle uniform within +-rotation_degrees, scale uniform within
            1 +- scale_range, axis uniform over directions.
        seed: (2,) int64, of the row.
        mirrored: () bool.

    Returns:
        (3, 3) float32 in mm: offset from the centre in the patch -> offset
        in the scan.
    """
    axis = tf.random.stateless_normal([3], _fold(seed, _AXIS), alg="philox")
    a = axis / tf.norm(axis)
    limit = math.radians(options.rotation_degrees)
    angle = _uniform([], seed, _ANGLE, -limit, limit)
    cross = tf.stack([0.0, -a[2], a[1], a[2], 0.0, -a[0], -a[1], a[0], 0.0])
    rotation = (
        tf.cos(angle) * tf.eye(3)
        + (1 - tf.cos(angle)) * a[:, None] * a[None]
        + tf.sin(angle) * tf.reshape(cross, [3, 3])
    )
    scale = _uniform(
        [], seed, _SCALE, 1 - options.scale_range, 1 + options.scale_range
    )
    sides = tf.stack([tf.where(mirrored, -1.0, 1.0), 1.0, 1.0])
    return rotation / scale * sides[None]


def turn_image(
    source: tf.Tensor,
    matrix: tf.Tensor,
    centre: tf.Tensor,
    shape: Sequence[int],
) -> tf.Tensor:
    """Interpolate a patch out of a source region, trilinear, in one gather.

    Formula:
        out[p] = trilinear(source, centre + M (p - (n - 1)/2))

    Each corner pair along K is one complex number (value, slope): four
    gathers instead of eight, 1.6 times as fast (5.9 against 9.4 ms for 64^3).

    Args:
        source: (i, j, k) float32, holds every voxel that is read.
        matrix: (3, 3) float32, M, in voxels.
        centre: (3,) float32, in voxels of the source.
        shape: (I, J, K) of the patch, n.

    Returns:
        (I, J, K) float32.
    """
    positions = _positions(matrix, centre, shape)
    # Positions are >= 0, where a cast to integer is the floor.
    corners = [tf.cast(x, tf.int32) for x in positions]
    fi, fj, fk = (
        x - tf.cast(corner, tf.float32)
        for x, corner in zip(positions, corners, strict=True)
    )
    flat = tf.reshape(source, [-1])
    pairs = tf.complex(flat[:-1], flat[1:] - flat[:-1])
    size = tf.shape(source)
    row, plane = size[2], size[1] * size[2]
    index = corners[0] * plane + corners[1] * row + corners[2]

    def along_k(offset: int | tf.Tensor) -> tf.Tensor:
        pair = tf.gather(pairs, index + offset)
        return tf.math.real(pair) + fk * tf.math.imag(pair)

    def along_jk(offset: int | tf.Tensor) -> tf.Tensor:
        near = along_k(offset)
        return near + fj * (along_k(offset + row) - near)

    near = along_jk(0)
    return near + fi * (along_jk(plane) - near)


def turn_labels(
    source: tf.Tensor,
    matrix: tf.Tensor,
    centre: tf.Tensor,
    shape: Sequence[int],
) -> tf.Tensor:
    """Take the nearest stored value of each patch voxel; see `turn_image`.

    Args:
        source: (i, j, k) uint8.
        matrix: (3, 3) float32, in voxels.
        centre: (3,) float32, in voxels of the source.
        shape: (I, J, K) of the patch.

    Returns:
        (I, J, K) uint8; no value that the source does not hold.
    """
    nearest = [
        tf.cast(x, tf.int32) for x in _positions(matrix, centre + 0.5, shape)
    ]
    size = tf.shape(source)
    index = (nearest[0] * size[1] + nearest[1]) * size[2] + nearest[2]
    return tf.gather(tf.reshape(source, [-1]), index)


def mirror_labels(
    table: tf.Tensor, permutation: tf.Tensor, mirrored: tf.Tensor
) -> tf.Tensor:
    """Swap left and right on the label axis of a table, where mirrored.

    Stored values keep their numbers; what they mean is mirrored: the left
    organ's voxels now look like a right organ (tests/traps, trap 4).

    Args:
        table: (..., L) bool.
        permutation: (L,) int32, `LabelSpace.mirror_permutation()`.
        mirrored: () bool.

    Returns:
        (..., L) bool.
    """
    return tf.where(mirrored, tf.gather(table, permutation, axis=-1), table)


def change_intensity(
    image: tf.Tensor, options: AugmentOptions, seed: tf.Tensor
) -> tf.Tensor:
    """Scale, shift and add noise to a normalised patch.

    Formula:
        out = image * (1 + s_c n_1) + s_s n_2 + s_n n(voxel),  n ~ N(0, 1)

    Args:
        image: (I, J, K) float32, normalised.
        options: the three sds; a 0 costs nothing and changes nothing.
        seed: (2,) int64, of the row.

    Returns:
        (I, J, K) float32.
    """
    if options.intensity_scale_sd:
        image *= 1 + options.intensity_scale_sd * _normal([], seed, _CONTRAST)
    if options.intensity_shift_sd:
        image += options.intensity_shift_sd * _normal([], seed, _SHIFT)
    if options.noise_sd:
        image += options.noise_sd * _normal(tf.shape(image), seed, _NOISE)
    return image


def _positions(
    matrix: tf.Tensor, centre: tf.Tensor, shape: Sequence[int]
) -> list[tf.Tensor]:
    """Return per axis the (I, J, K) float32 position of each patch voxel."""
    i, j, k = (
        tf.range(n, dtype=tf.float32) - (n - 1) / 2 for n in map(int, shape)
    )
    positions = []
    for axis in range(3):
        # Only the last sum runs over all voxels.
        along_i = centre[axis] + matrix[axis, 0] * i
        plane = along_i[:, None] + matrix[axis, 1] * j
        positions.append(plane[:, :, None] + matrix[axis, 2] * k)
    return positions


def _fold(seed: tf.Tensor, purpose: int) -> tf.Tensor:
    return tf.random.fold_in(seed, purpose, alg="philox")


def _normal(
    shape: Sequence[int] | tf.Tensor, seed: tf.Tensor, purpose: int
) -> tf.Tensor:
    return tf.random.stateless_normal(shape, _fold(seed, purpose), alg="philox")


def _uniform(
    shape: Sequence[int], seed: tf.Tensor, purpose: int, low: float, high: float
) -> tf.Tensor:
    return tf.random.stateless_uniform(
        shape, _fold(seed, purpose), low, high, alg="philox"
    )
