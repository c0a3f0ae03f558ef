"""Dice and volume on voxels that can be counted by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfpartial.metrics.overlap import dice, volume_ml


def row(*voxels: int) -> np.ndarray:
    """Return a (1, 1, n) bool mask."""
    return np.array(voxels, bool)[None, None]


def test_dice_of_two_voxels_against_one_of_them() -> None:
    assert dice(row(1, 1, 0), row(1, 0, 0)) == 2 * 1 / (2 + 1)


def test_dice_is_symmetric_and_one_for_itself() -> None:
    a, b = row(1, 1, 0, 1), row(0, 1, 1, 0)
    assert dice(a, b) == dice(b, a) == 2 * 1 / (3 + 2)
    assert dice(a, a) == 1


def test_dice_with_one_empty_mask_is_zero() -> None:
    assert dice(row(1, 0), row(0, 0)) == 0
    assert dice(row(0, 0), row(1, 0)) == 0


def test_dice_of_two_empty_masks_is_nan() -> None:
    assert math.isnan(dice(row(0, 0), row(0, 0)))


def test_volume_is_voxels_times_their_volume() -> None:
    assert volume_ml(row(1, 1, 0), (2, 3, 4)) == 2 * (2 * 3 * 4) / 1000


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference's shape \(1, 1, 2\)"):
        dice(row(1, 0), row(1, 0, 0))


def test_integer_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="prediction: expected .* bool"):
        dice(row(1, 0), row(1, 0).astype(np.uint8))
