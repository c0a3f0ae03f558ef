"""What a build measures of a scan: HU per stored value, compressed size."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tfrecords_builder.scan_cache import (
    HISTOGRAM_BINS,
    HISTOGRAM_LOWEST_HU,
    compressed_bytes,
    hu_statistics,
)

LIMITS = np.iinfo(np.int16)


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    """HU over the whole range of int16, and stored values; 3 is absent."""
    random = np.random.default_rng(0)
    hu = random.normal(0, 900, (9, 8, 7)).astype(np.int16)
    hu[0, 0, :2] = LIMITS.min, LIMITS.max
    return hu, random.choice([0, 1, 2, 4], hu.shape).astype(np.uint8)


def test_statistics_of_each_stored_value(
    scan: tuple[np.ndarray, np.ndarray],
) -> None:
    hu, labels = scan
    found = hu_statistics(hu, labels, 5)
    for value in range(5):
        inside = [int(x) for x in hu[labels == value]]
        assert found["hu_count"][value] == len(inside)
        assert found["hu_sum"][value] == sum(inside)
        assert found["hu_square_sum"][value] == sum(x * x for x in inside)
        # Beyond the histogram voxels count in its outermost bins.
        last = HISTOGRAM_LOWEST_HU + HISTOGRAM_BINS - 1
        clipped = np.clip(inside, HISTOGRAM_LOWEST_HU, last).astype(int)
        bins, counts = np.unique(clipped, return_counts=True)
        row = found["hu_histogram"][value]
        assert row.sum() == len(inside)
        np.testing.assert_array_equal(row[bins - HISTOGRAM_LOWEST_HU], counts)


def test_compressed_size_is_about_that_of_gzip_files() -> None:
    random = np.random.default_rng(0)
    hu = np.full((61, 96, 96), -1000, np.int16)
    hu[10:50, 20:80, 20:80] = random.normal(40, 12, (40, 60, 60))
    labels = (hu > 30).astype(np.uint8)
    expected = sum(
        len(gzip.compress(array.tobytes(), 6)) for array in (hu, labels)
    )
    assert compressed_bytes(hu, labels) == pytest.approx(expected, rel=0.1)


def test_a_scan_of_one_slice_has_a_size() -> None:
    hu = np.zeros((1, 5, 5), np.int16)
    assert compressed_bytes(hu, hu.astype(np.uint8)) > 0
