"""DeepMedic against a numpy twin: which voxels it sees, and which tiles."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from narrow_deepmedic import NARROW, cube, randomise
from twins import slow_deepmedic

from tfpartial.models import build_deepmedic


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    network = build_deepmedic(seed=0, **NARROW)
    randomise(network)
    return network


@pytest.mark.parametrize("n", [1, 4, 6, 7])
def test_equals_a_slow_twin(n: int) -> None:
    """All three pathways, where n is no multiple of 3 nor of 5."""
    rates = [0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.5, 0.25]
    network = build_deepmedic(seed=n, dropout=rates, channels=2, **NARROW)
    randomise(network, n)
    image = cube(n, channels=2, seed=n)
    slow = slow_deepmedic.logits(
        image[0].astype(np.float64),
        {layer.name: layer.get_weights() for layer in network.layers},
        n=n,
        residual_layers=(4, 6, 8),
        fc_residual_layers=(2,),
        rates=rates[:8],
        fc_rates=rates[8:],
        epsilon=1e-5,
    )
    found = np.asarray(network(image))[0]
    assert found.shape == slow.shape == (n, n, n, 3)
    assert 0.05 < np.abs(slow).std() < np.abs(slow).max() < 10
    np.testing.assert_allclose(found, slow, atol=1e-5)


def test_static_and_unknown_sizes_are_the_same(narrow: keras.Model) -> None:
    image = cube(7)
    known = tf.function(narrow, input_signature=[tf.TensorSpec(image.shape)])
    unknown = tf.function(
        narrow, input_signature=[tf.TensorSpec((None, None, None, None, 1))]
    )
    np.testing.assert_allclose(known(image), unknown(image), atol=1e-5)
    np.testing.assert_allclose(known(image), narrow(image), atol=1e-5)


def test_sizes_may_differ_per_axis(narrow: keras.Model) -> None:
    image = np.zeros((2, 81, 86, 93, 1), np.float32)
    assert narrow(image).shape == (2, 1, 6, 13, 3)


def test_the_context_is_needed_and_suffices(narrow: keras.Model) -> None:
    """n = 6: the widest pathway sees 6 - 40 - 6 ... o + 45 = the last voxel."""
    assert narrow.context_voxels == (40, 40, 40)
    assert narrow.divisor == 1
    image = tf.constant(cube(6))
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = tf.reduce_sum(tf.square(narrow(image)))
    seen = np.any(np.asarray(tape.gradient(total, image))[0, ..., 0], (1, 2))
    assert seen[0]
    assert seen[-1]
    # Normal 32 ... 53 without a gap, else the grids of 3 (from 16) and 5.
    grids = {*range(0, 86, 5), *range(16, 16 + 3 * 18, 3), *range(32, 54)}
    assert np.flatnonzero(seen).tolist() == sorted(grids)


def test_fewer_layers_need_less_context() -> None:
    network = build_deepmedic(
        num_labels=2, seed=0, widths=[2, 2], fc_widths=[2],
        residual_layers=[2], fc_residual_layers=[],
    )  # fmt: skip
    assert network.context_voxels == (10, 10, 10)
    assert network(np.zeros((1, 24, 24, 24, 1))).shape == (1, 4, 4, 4, 2)


def tile(image: np.ndarray, start: int, n: int) -> np.ndarray:
    """Input for the n voxels of output from `start` on, on every axis."""
    at = slice(start, start + n + 80)
    return image[:, at, at, at]


def test_a_large_tile_equals_small_ones_at_aligned_phases(
    narrow: keras.Model,
) -> None:
    """Phases repeat after lcm(3, 5) = 15 voxels; the rim is the mirror's."""
    image = cube(40)
    large = np.asarray(narrow(image))[0]
    for start in (0, 15):
        small = np.asarray(narrow(tile(image, start, 21)))[0]
        part = large[tuple([slice(start, start + 21)] * 3)]
        off = np.abs(small - part).max(-1)
        inner = (slice(1, -1),) * 3
        assert off[inner].max() < 1e-5
        # What the small tile mirrors, the large one has.
        assert off[-1, 1:-1, 1:-1].max() > 1e-3
        # Both begin at voxel 0, and mirror there alike.
        first = off[0, 1:-1, 1:-1].max()
        assert first > 1e-3 if start else first < 1e-5


@pytest.mark.parametrize("shift", [1, 3, 5])
def test_other_shifts_change_the_interior(
    narrow: keras.Model, shift: int
) -> None:
    """The published quirk: coarse voxels are anchored at the tile."""
    image = cube(40)
    large = np.asarray(narrow(image))[0]
    small = np.asarray(narrow(tile(image, shift, 21)))[0]
    part = large[tuple([slice(shift, shift + 21)] * 3)]
    assert np.abs(small - part)[1:-1, 1:-1, 1:-1].max() > 1e-3
