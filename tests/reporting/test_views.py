"""Left is left: planes and letters of one scan stored in any orientation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfpartial.reporting.views import (
    VIEWS,
    Edges,
    Frame,
    direction_letter,
)
from tfpartial.scans import Grid

# RAS+ world: I to the right, J to anterior, K to the head.
SHAPE = (5, 6, 7)
SPACING = (2.0, 3.0, 4.0)
# What lies at each end of the body, as a voxel of the RAS+ array.
LANDMARKS = {"R": (4, 3, 3), "A": (2, 5, 3), "S": (2, 3, 6)}


def landmark(letter: str) -> np.ndarray:
    array = np.zeros(SHAPE, bool)
    array[LANDMARKS[letter]] = True
    return array


def stored_as(
    array: np.ndarray, order: tuple[int, ...], flips: tuple[int, ...]
) -> tuple[np.ndarray, Grid]:
    """Return the same body with other voxel axes, and its grid."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, world in enumerate(order):
        affine[world, axis] = SPACING[world] * flips[axis]
        if flips[axis] < 0:
            affine[world, 3] = SPACING[world] * (SHAPE[world] - 1)
    steps = tuple(slice(None, None, flip) for flip in flips)
    stored = array.transpose(order)[steps]
    return stored, Grid(stored.shape, affine)


ORIENTATIONS = list(
    itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    )
)


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_landmarks_lie_at_the_edge_that_bears_their_letter(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    """All 48 ways to store a scan."""
    for letter, position in LANDMARKS.items():
        stored, grid = stored_as(landmark(letter), order, flips)
        frame = Frame(grid)
        near_ras = frame.reorder(stored)
        for view, (across, down, through) in VIEWS.items():
            picture = frame.picture(near_ras, view, position[through])
            ((row, column),) = np.argwhere(picture)
            edges = frame.edges(view)
            if "RAS".index(letter) == across:
                at = {0: edges.left, picture.shape[1] - 1: edges.right}
                assert at[column] == letter
            if "RAS".index(letter) == down:
                at = {0: edges.top, picture.shape[0] - 1: edges.bottom}
                assert at[row] == letter


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS[::7])
def test_convention_is_radiological(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    frame = Frame(stored_as(np.zeros(SHAPE), order, flips)[1])
    assert frame.edges("axial") == Edges("R", "L", "A", "P")
    assert frame.edges("coronal") == Edges("R", "L", "S", "I")
    assert frame.edges("sagittal") == Edges("A", "P", "S", "I")


def test_shape_and_size_of_pictures() -> None:
    stored, grid = stored_as(np.zeros(SHAPE), (2, 0, 1), (-1, 1, -1))
    frame = Frame(grid)
    expected = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
    for view, (across, down) in expected.items():
        picture = frame.picture(frame.reorder(stored), view, 0)
        assert picture.shape == (SHAPE[down], SHAPE[across])
        assert frame.size_mm(view) == (
            SHAPE[across] * SPACING[across],
            SHAPE[down] * SPACING[down],
        )


def test_letters_of_directions() -> None:
    directions = {
        "R": (1, 0, 0),
        "L": (-0.9, 0.3, 0),
        "A": (0.1, 2, 0),
        "P": (0, -1, 0.5),
        "S": (0, 0, 1),
        "I": (0, 0, -1),
    }
    for letter, direction in directions.items():
        assert direction_letter(np.array(direction)) == letter


def test_oblique_scan_takes_the_nearest_letters() -> None:
    angle = np.radians(20)
    turn = np.array(
        [
            [np.cos(angle), -np.sin(angle), 0],
            [np.sin(angle), np.cos(angle), 0],
            [0, 0, 1],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1, -1, 1])
    assert Frame(Grid(SHAPE, affine)).edges("axial").left == "R"
