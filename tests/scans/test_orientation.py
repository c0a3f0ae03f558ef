"""Voxel axes: directions, prone turn, reordering to RAS+ and back."""

import itertools

import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.scans import Grid, turn_prone
from tfpartial.scans.orientation import (
    closest_to_ras,
    invert_directions,
    shear_degrees,
    split_affine,
)


def _rotation_z(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _affine(matrix, origin=(0, 0, 0)):
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = origin
    return affine


def signed_permutations():
    """All 48 ways in which a file may store three voxel axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            for voxel, world in enumerate(order):
                matrix[world, voxel] = signs[voxel]
            yield matrix


def test_split_affine_returns_directions_and_spacing():
    directions, spacing = split_affine(
        _affine(_rotation_z(30) * np.array([0.9, 1.2, 2.5]))
    )
    np.testing.assert_allclose(directions, _rotation_z(30), atol=1e-12)
    np.testing.assert_allclose(spacing, [0.9, 1.2, 2.5], atol=1e-9)


def test_header_noise_becomes_exactly_axis_aligned():
    noise = np.random.default_rng(0).normal(0, 1e-7, (3, 3))
    directions, _ = split_affine(_affine(np.diag([-1.0, 1, 1]) + noise))
    assert (directions == np.diag([-1.0, 1, 1])).all()


def test_shear_is_kept_and_the_rounding_of_a_header_is_not():
    sheared = np.eye(3)
    sheared[0, 1] = 1e-6
    directions, _ = split_affine(_affine(sheared))
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)
    assert shear_degrees(_affine(sheared)) == 0
    for tilt in (5e-3, 0.3):
        sheared[0, 1] = tilt
        directions, spacing = split_affine(_affine(2 * sheared))
        np.testing.assert_allclose(directions * spacing, 2 * sheared)
        found = np.radians(shear_degrees(_affine(sheared)))
        assert found == pytest.approx(np.arctan(tilt))
        inverse = invert_directions(directions)
        np.testing.assert_allclose(inverse @ directions, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], "a.nii.*invertible"),
        ([[1, 0, 0], [0, np.nan, 0], [0, 0, 1]], "a.nii.*finite"),
        ([[1, 0, 0], [0, 0, 0], [0, 0, 1]], "a.nii.*spacings"),
        ([[1, 0, 0], [0, 2000, 0], [0, 0, 1]], "a.nii.*spacings.*mm"),
        ([[1e300, 0, 0], [1e300, 1, 0], [0, 0, 1]], "a.nii.*spacings"),
    ],
)
def test_unusable_affine_is_named(matrix, words):
    with pytest.raises(InputError, match=words):
        split_affine(_affine(np.array(matrix, float)), "a.nii")


def test_prone_turn_is_half_a_turn_about_the_long_axis():
    turned = turn_prone(_affine(np.diag([2.0, 2, 3]), (10, 20, 30)))
    # World point (x, y, z) goes to (-x, -y, z): a rotation, no mirror.
    np.testing.assert_array_equal(
        turned @ [1, 1, 1, 1], [-(2 + 10), -(2 + 20), 3 + 30, 1]
    )
    assert np.linalg.det(turned) > 0
    np.testing.assert_array_equal(
        turn_prone(turned), _affine(np.diag([2.0, 2, 3]), (10, 20, 30))
    )


@pytest.mark.parametrize("matrix", list(signed_permutations()))
def test_reordering_is_ras_and_is_undone(matrix):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    grid = Grid(array.shape, _affine(matrix * [2.0, 3, 4], (5, -6, 7)))
    order = closest_to_ras(matrix)
    there, there_grid = order.apply(array), order.apply_to_grid(grid)
    linear = there_grid.affine[:3, :3]
    assert there.shape == there_grid.shape
    assert (linear == np.diag(np.diag(linear))).all()
    assert (np.diag(linear) > 0).all()
    assert (order.undo(there) == array).all()
    # Every value stays where it was in space.
    for index in np.ndindex(array.shape):
        mm = grid.affine @ [*index, 1]
        new = np.linalg.inv(there_grid.affine) @ mm
        assert there[tuple(new[:3].round().astype(int))] == array[index]


def test_oblique_axes_go_to_the_closest_ones():
    directions = _rotation_z(100)  # I runs to anterior, J to the left
    order = closest_to_ras(directions)
    assert order.order == (1, 0, 2)
    assert order.flipped == (True, False, False)
