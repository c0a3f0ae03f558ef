"""Coarse copies and the best correlation over translations."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import patient

from tfpartial.audit.coarse import (
    NEARLY_WHOLE,
    Features,
    best_match,
    block_means,
    coarse_copy,
    fine_features,
)
from tfpartial.scans import Volume


def test_block_means_stay_in_place() -> None:
    array = np.arange(4 * 2 * 3).reshape(4, 2, 3).astype(np.int16)
    small = block_means(Volume(array, np.diag([1.0, 2, 3, 1])), [2, 2, 9])
    assert small.shape == (2, 1, 1)
    assert small.array[0, 0, 0] == array[:2].mean()
    # The centre of voxels 0 and 1 along I, 0 and 1 along J, 0 to 2 along K.
    np.testing.assert_allclose(small.affine[:3, 3], [0.5, 1.0, 3.0])
    assert small.spacing_mm == (2.0, 4.0, 9.0)


def test_a_constant_scan_stays_constant() -> None:
    volume = Volume(np.full((31, 20, 17), 40, np.int16), np.diag([1, 2, 3, 1]))
    coarse = coarse_copy(volume)
    # 30 of 31, 18 of 20 and 16 of 17 voxels fill blocks of 6 mm.
    assert coarse.shape == (5, 6, 8)
    assert (coarse == 40).all()


def test_stored_axes_do_not_matter() -> None:
    """LPS and PLI copies of a scan have the coarse copy of the RAS one."""
    volume = patient(0)
    change = np.zeros((4, 4))
    change[1, 0], change[0, 1], change[2, 2], change[3, 3] = -1, -1, -1, 1
    change[:3, 3] = [volume.shape[0] - 1, volume.shape[1] - 1,
                     volume.shape[2] - 1]  # fmt: skip
    stored = volume.array.transpose(1, 0, 2)[::-1, ::-1, ::-1]
    other = Volume(np.ascontiguousarray(stored), volume.affine @ change)
    one, two = coarse_copy(volume), coarse_copy(other)
    assert one.shape == two.shape
    # Blocks and smoothing round in another order.
    assert np.abs(one.astype(int) - two).max() <= 1


def _correlation(a: Features, b: Features, shift: tuple[int, ...]) -> float:
    """Slow twin: voxel by voxel."""
    product = norm_a = norm_b = 0.0
    for place in np.argwhere(b.body):
        to = tuple(place + shift)
        if min(to) < 0 or any(t >= n for t, n in zip(to, a.body.shape)):  # noqa: B905
            continue
        if a.body[to]:
            x, y = float(a.values[to]), float(b.values[tuple(place)])
            product += x * y
            norm_a += x * x
            norm_b += y * y
    return product / np.sqrt(norm_a * norm_b)


def test_a_moved_part_is_found_where_it_was() -> None:
    a = fine_features(coarse_copy(patient(1)))
    cut = (slice(6, 30), slice(3, 25), slice(2, 20))
    b = Features(a.values[cut], a.body[cut])
    match = best_match(a, b)
    assert match.shift == (6, 3, 2)
    assert match.correlation == pytest.approx(1.0, abs=1e-4)
    assert match.overlap == pytest.approx(1.0, abs=1e-3)


def test_the_correlation_is_that_of_its_slow_twin() -> None:
    a = fine_features(coarse_copy(patient(1)))
    b = fine_features(coarse_copy(patient(2)))
    match = best_match(a, b)
    twin = _correlation(a, b, match.shift)
    assert match.correlation == pytest.approx(twin, abs=1e-3)
    for shift in ((0, 0, 0), (2, -3, 1)):
        assert _correlation(a, b, shift) <= match.correlation + 1e-3


def test_a_small_piece_must_lie_on_the_other_nearly_whole() -> None:
    """A few common voxels correlate by chance somewhere."""
    a = fine_features(coarse_copy(patient(1)))
    b = fine_features(coarse_copy(patient(2)))
    cut = (slice(8, 20), slice(8, 20), slice(8, 18))
    piece = Features(b.values[cut], b.body[cut])
    assert piece.body.sum() < 1500
    assert best_match(a, piece).overlap < NEARLY_WHOLE
    match = best_match(a, piece, min_common=1500)
    assert match.overlap >= NEARLY_WHOLE - 1e-3
    # A large one may end outside.
    assert b.body.sum() > 1500 / 0.25
    beside = Features(a.values[12:], a.body[12:])
    also = Features(a.values[:24], a.body[:24])
    match = best_match(beside, also, min_common=1500)
    assert match.correlation == pytest.approx(1, abs=1e-3)
    assert match.overlap < NEARLY_WHOLE


def test_nothing_matches_an_empty_scan() -> None:
    a = fine_features(coarse_copy(patient(1)))
    empty = Features(np.zeros((5, 5, 5), np.float32), np.zeros((5, 5, 5), bool))
    assert best_match(a, empty).correlation == -1
