import itertools

import numpy as np
import pytest
import tensorflow as tf
from fake_store import SPACE

from tfpartial.config.experiment import Augment
from tfpartial.data import augment
from tfpartial.data.augment import (
    AFFINE_STEPS,
    INTENSITY_STEPS,
    Augmentation,
    is_mirrored,
)
from tfpartial.labels import background_candidates

# float32 positions of up to 30 voxels carry 2e-6 voxels of rounding, times
# neighbour differences of a few units.
INTERPOLATION = 1e-4
# A number that depends on all draws of a step; another is another training.
DRAWN = {
    "rotation_degrees": 0.230564,
    "scale_range": 0.230498,
    "mirror_probability": 0.210305,
    "intensity_scale_sd": 0.235727,
    "intensity_shift_sd": 0.232116,
    "noise_sd": 0.198213,
}


def seed(row=0, step=0):
    return augment.row_seed(5, tf.constant(step), tf.constant(row))


def slow_linear(source, matrix, centre, shape):
    """Eight weighted corners per voxel, in float64."""
    out = np.zeros(shape)
    half = (np.array(shape) - 1) / 2
    for p in np.ndindex(*shape):
        x = centre + matrix @ (np.array(p) - half)
        base = np.floor(x).astype(int)
        for corner in itertools.product((0, 1), repeat=3):
            weight = np.prod(np.where(corner, x - base, 1 - (x - base)))
            out[p] += weight * source[tuple(base + corner)]
    return out


def slow_nearest(source, matrix, centre, shape):
    out = np.zeros(shape, source.dtype)
    half = (np.array(shape) - 1) / 2
    for p in np.ndindex(*shape):
        x = centre + matrix @ (np.array(p) - half)
        out[p] = source[tuple(np.floor(x + 0.5).astype(int))]
    return out


@pytest.mark.parametrize("number", range(3))
def test_the_gather_equals_the_slow_twin(number):
    random = np.random.default_rng(number)
    source = random.normal(size=(18, 20, 22)).astype(np.float32)
    labels = random.integers(0, 9, source.shape).astype(np.uint8)
    matrix = (np.eye(3) + random.normal(0, 0.15, (3, 3))).astype(np.float32)
    centre = random.uniform(8, 10, 3).astype(np.float32)
    shape = (6, 7, 5)
    np.testing.assert_allclose(
        augment.turn_image(source, matrix, centre, shape),
        slow_linear(source, matrix, centre, shape),
        atol=INTERPOLATION,
    )
    np.testing.assert_array_equal(
        augment.turn_labels(labels, matrix, centre, shape),
        slow_nearest(labels, matrix, centre, shape),
    )


def test_a_linear_field_is_moved_exactly_and_with_the_labels():
    i, j, k = np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij")
    field = (i + 2 * j - k).astype(np.float32)
    matrix = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    centre = np.array([9.0, 9.0, 9.0], np.float32)
    turned = augment.turn_image(field, matrix, centre, (5, 5, 5))
    # 90 degrees about K: the patch's +I runs along the scan's +J.
    assert turned[3, 2, 2] - turned[2, 2, 2] == 2.0
    assert turned[2, 3, 2] - turned[2, 2, 2] == -1.0
    stored = augment.turn_labels(
        (field > 17).astype(np.uint8), matrix, centre, (5, 5, 5)
    )
    np.testing.assert_array_equal(stored, turned > 17)


def test_the_identity_copies():
    source = np.random.default_rng(0).normal(size=(9, 9, 9)).astype("float32")
    centre = np.full(3, 4.0, np.float32)
    turned = augment.turn_image(
        source, np.eye(3, dtype="f4"), centre, (5, 5, 5)
    )
    np.testing.assert_array_equal(turned, source[2:7, 2:7, 2:7])


def test_the_affine_is_a_rotation_within_limits_over_the_scale():
    options = Augmentation({"rotation_degrees": 20.0, "scale_range": 0.25})

    @tf.function
    def draw(row):
        return options.draw_affine(augment.row_seed(5, 0, row))

    angles, scales, axes = [], [], []
    for row in range(200):
        affine = np.asarray(draw(tf.constant(row)), float)
        scale = np.linalg.det(affine) ** (-1 / 3)
        rotation = affine * scale
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        angles.append(np.degrees(np.arccos((np.trace(rotation) - 1) / 2)))
        scales.append(scale)
        axes.append(rotation - rotation.T)
    assert max(angles) <= 20.01
    assert max(angles) > 18
    assert min(scales) >= 0.7499
    assert max(scales) <= 1.2501
    assert abs(np.mean(scales) - 1) < 0.05
    assert np.abs(np.mean(axes, axis=0)).max() < 0.1


def test_a_mirror_is_composed_into_the_affine():
    turn = {"rotation_degrees": 20.0}
    plain, mirrored = (
        np.asarray(Augmentation(turn | more).draw_affine(seed()))
        for more in ({}, {"mirror_probability": 1.0})
    )
    np.testing.assert_array_equal(plain * [-1, 1, 1], mirrored)
    assert [bool(is_mirrored(a)) for a in (plain, mirrored)] == [False, True]
    source = np.random.default_rng(0).normal(size=(20, 20, 20)).astype("f4")
    centre = np.full(3, 9.5, np.float32)
    one = augment.turn_image(source, plain, centre, (6, 5, 4))
    other = augment.turn_image(source, mirrored, centre, (6, 5, 4))
    np.testing.assert_allclose(one[::-1], other, atol=INTERPOLATION)


def test_what_is_mirrored_is_told_by_the_determinant():
    """Not by one axis: a turn by 180 degrees mirrors nothing."""
    turned, front_is_back = np.diag([-1.0, -1, 1]), np.diag([1.0, -1, 1])
    assert not is_mirrored(tf.constant(turned))
    assert is_mirrored(tf.constant(front_is_back))


def test_mirror_share():
    options = Augmentation({"mirror_probability": 0.3, "scale_range": 0.2})
    flags = [
        bool(is_mirrored(options.draw_affine(seed(r)))) for r in range(500)
    ]
    assert abs(np.mean(flags) - 0.3) < 0.07
    assert not is_mirrored(Augmentation({}).draw_affine(seed()))


def test_what_is_off_leaves_a_patch_as_it_is():
    off = Augmentation(dict.fromkeys(Augment.model_fields, 0.0))
    image = tf.random.stateless_normal([3, 4, 5], [0, 0])
    np.testing.assert_array_equal(off.draw_affine(seed()), np.eye(3))
    np.testing.assert_array_equal(off.change_intensity(image, seed()), image)
    assert (off.turns, off.moves) == (False, False)
    mirror = Augmentation({"mirror_probability": 0.5})
    assert (mirror.turns, mirror.moves) == (False, True)
    assert Augmentation({"scale_range": 0.1}).turns


def test_a_field_of_no_step_is_refused():
    with pytest.raises(ValueError, match="noise"):
        Augmentation({"noise": 0.1})


def test_every_step_has_a_field_and_streams_of_its_own():
    steps = [*AFFINE_STEPS, *INTENSITY_STEPS]
    assert sorted(s.field for s in steps) == sorted(Augment.model_fields)
    streams = [stream for step in steps for stream in step.streams]
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize(("field", "expected"), DRAWN.items())
def test_draws_are_those_of_every_earlier_training(field, expected):
    options = Augmentation({field: 0.5})
    image = tf.reshape(tf.range(24, dtype=tf.float32), [2, 3, 4])
    numbers = [
        np.asarray(tf.reshape(values, [-1]))
        for row in range(3)
        for values in (
            options.draw_affine(seed(row, 7)),
            options.change_intensity(image, seed(row, 7)),
        )
    ]
    together = np.concatenate(numbers)
    weighted = np.mean(together * np.sin(np.arange(together.size)))
    assert weighted == pytest.approx(expected, abs=1e-5)


def test_a_mirrored_left_organ_is_a_right_organ():
    # Trap 4: the candidate set {left} becomes {right}, also
    # where only the left one is annotated.
    annotated = SPACE.vector(["background", "kidney_left"])
    table = np.stack(
        [background_candidates(annotated), SPACE.vector(["kidney_left"])]
    )
    permutation = SPACE.mirror_permutation()
    swapped = augment.mirror_labels(table, permutation, tf.constant(True))
    np.testing.assert_array_equal(swapped[1], SPACE.vector(["kidney_right"]))
    np.testing.assert_array_equal(
        swapped[0], SPACE.vector(["background", "bladder", "kidney_left"])
    )
    kept = augment.mirror_labels(table, permutation, tf.constant(False))
    np.testing.assert_array_equal(kept, table)


def changed(image, row=0, **amounts):
    return Augmentation(amounts).change_intensity(image, seed(row))


def test_intensity_by_hand():
    image = tf.constant([[[1.0, 2.0, 3.0]]])
    shifted = changed(image, intensity_shift_sd=0.5)
    steps = np.asarray(shifted - image).ravel()
    assert steps[0] != 0
    np.testing.assert_allclose(steps, steps[0], atol=1e-6)
    scaled = changed(image, intensity_scale_sd=0.5)
    ratios = np.asarray(scaled / image).ravel()
    assert ratios[0] != 1
    np.testing.assert_allclose(ratios, ratios[0], atol=1e-6)


def test_the_sds_are_the_sds():
    zeros = tf.zeros([24, 24, 24])
    noise = np.asarray(changed(zeros, noise_sd=0.2))
    assert abs(noise.std() - 0.2) < 0.005
    assert abs(noise.mean()) < 0.005
    values = [
        float(changed(zeros[:1, :1, :1], row, intensity_shift_sd=0.3)[0, 0, 0])
        for row in range(400)
    ]
    assert abs(np.std(values) - 0.3) < 0.05


def test_every_row_and_step_has_numbers_of_its_own():
    drawn = {
        float(Augmentation({"scale_range": 0.5}).draw_affine(seed(r, s))[0, 0])
        for r, s in itertools.product(range(5), range(5))
    }
    assert len(drawn) == 25
