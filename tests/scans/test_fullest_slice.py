"""The slice that a picture shows."""

from __future__ import annotations

import numpy as np

from tfpartial.scans.fullest_slice import fullest_slice

SHAPE = (5, 6, 7)


def test_structures_weigh_the_same() -> None:
    """A large organ fills slice 1; a small and a large one share slice 2."""
    large, small = np.zeros((2, *SHAPE), bool)
    large[:, :, 1] = True
    large[:4, :, 2] = True
    small[0, 0, 2] = True
    assert fullest_slice([large], 2, SHAPE) == 1
    assert fullest_slice([large, small], 2, SHAPE) == 2


def test_without_structures_the_middle_is_shown() -> None:
    assert fullest_slice([], 2, SHAPE) == 3
    assert fullest_slice([np.zeros(SHAPE, bool)], 0, SHAPE) == 2
