"""Window positions and weights: arithmetic, twins, refusals."""

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.errors import InputError
from tfpartial.export import graph_window
from tfpartial.inference.windows import (
    check_window,
    gaussian_weights,
    padding_to_window,
    window_starts,
)


def test_starts_reach_both_ends():
    # 10 voxels, windows of 4 that overlap by half: strides of 2
    np.testing.assert_array_equal(window_starts(10, 4, 0.5), [0, 2, 4, 6])
    # 9 voxels: the last window is pulled in, the others spread
    np.testing.assert_array_equal(window_starts(9, 4, 0.5), [0, 1, 3, 5])
    np.testing.assert_array_equal(window_starts(4, 4, 0.5), [0])
    np.testing.assert_array_equal(window_starts(8, 4, 0.0), [0, 4])


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("window", [1, 4, 7])
def test_every_voxel_is_covered_and_the_overlap_is_kept(window, overlap):
    for size in range(window, 40):
        starts = window_starts(size, window, overlap)
        covered = (starts[:, None] + np.arange(window)).ravel()
        assert set(covered) == set(range(size))
        strides = np.diff(starts)
        assert (strides > 0).all()
        assert (strides <= max(1, window * (1 - overlap))).all()


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_graph_starts_are_the_same_numbers(overlap):
    for size in (6, 7, 13, 31):
        np.testing.assert_array_equal(
            graph_window.window_starts(tf.constant(size), 6, overlap),
            window_starts(size, 6, overlap),
        )


def test_weights_are_a_gaussian_of_an_eighth_of_the_window():
    weights = gaussian_weights((16, 8, 4))
    assert weights.dtype == np.float32
    assert weights.max() == 1
    assert (weights > 0).all()
    # sigma = 16/8 = 2; voxels 7 and 9 are 0.5 and 1.5 from the centre 7.5
    ratio = np.exp(-(1.5**2 - 0.5**2) / (2 * 2**2))
    np.testing.assert_allclose(weights[9, 3, 1] / weights[7, 3, 1], ratio, 1e-6)
    np.testing.assert_array_equal(weights, weights[::-1, ::-1, ::-1])


def test_a_small_scan_is_centred_in_the_window():
    assert padding_to_window((5, 16, 20), (16, 16, 16)) == (
        (5, 6),
        (0, 0),
        (0, 0),
    )


def test_window_that_the_network_refuses_is_named():
    check_window((16, 16, 16), (0, 0, 0), 8)
    check_window((21, 21, 21), (8, 8, 8), 1)
    with pytest.raises(InputError, match=r"multiples of \[8, 8, 8\].*18"):
        check_window((16, 18, 16), (0, 0, 0), 8)


def test_size_below_the_window_is_refused():
    with pytest.raises(ValueError, match="expected size >= 8, received 7"):
        window_starts(7, 8, 0.5)
