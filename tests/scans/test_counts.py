"""Counting voxels: against np.bincount, in any memory order."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.scans import counts
from tfpartial.scans.counts import count_values


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_counts_are_those_of_bincount(
    dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 210 voxels in chunks of 64: the last one is not full.
    monkeypatch.setattr(counts, "_CHUNK_VOXELS", 64)
    values = np.random.default_rng(0).integers(0, 9, (5, 6, 7)).astype(dtype)
    expected = np.bincount(values.ravel(), minlength=12)
    flipped = np.asfortranarray(values)[::-1, :, ::-1]
    for array in (values, np.asfortranarray(values), flipped):
        np.testing.assert_array_equal(count_values(array, 12), expected)
    assert count_values(values, 12).dtype == np.int64


def test_more_values_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_CHUNK_VOXELS", 2)
    values = np.array([99, 0, 99, 5])
    found = count_values(values, 100)
    assert found.sum() == 4
    assert found[[0, 5, 99]].tolist() == [1, 1, 2]
