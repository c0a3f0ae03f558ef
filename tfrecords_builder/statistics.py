"""Voxel and intensity statistics per database and stored value.

In: the preprocessed scans of one database. Out: rows for the manifest.
Everything is counted on the canonical grid, which is what is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.labels import BACKGROUND
from tfrecords_builder.scan_cache import HISTOGRAM_LOWEST_HU

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ValueStatistics:
    """Sums over scans: cases, voxels, millilitres, HU moments, histogram."""

    def __init__(self, num_values: int) -> None:
        self._cases = np.zeros(num_values, np.int64)
        self._count = np.zeros(num_values, np.int64)
        self._volume_ml = np.zeros(num_values)
        self._sum = np.zeros(num_values)
        self._square_sum = np.zeros(num_values)
        self._histogram: np.ndarray | int = 0

    def add(self, scan: Any) -> None:
        """Add one scan: the mapping that `scan_cache.preprocess_scan` wrote."""
        count = scan["hu_count"]
        self._cases += count > 0
        self._count += count
        self._volume_ml += count * math.prod(scan["spacing_mm"]) / 1000
        self._sum += scan["hu_sum"]
        self._square_sum += scan["hu_square_sum"]
        self._histogram = self._histogram + scan["hu_histogram"]

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return one row per stored value.

        Args:
            names: (V,) what each stored value is called.
        """
        return [self._row(value, name) for value, name in enumerate(names)]

    def _row(self, value: int, name: str) -> dict[str, Any]:
        count = int(self._count[value])
        row = {
            "stored_value": value,
            "label": name,
            "cases": int(self._cases[value]),
            "voxels": count,
            "volume_ml": round(float(self._volume_ml[value]), 3),
        }
        if count == 0:
            return row
        mean = self._sum[value] / count
        variance = max(self._square_sum[value] / count - mean**2, 0.0)
        histogram = np.asarray(self._histogram)[value]
        return row | {
            "hu_mean": round(float(mean), 2),
            "hu_sd": round(math.sqrt(variance), 2),
            "hu_quantiles": {
                str(q): histogram_quantile(histogram, q) for q in QUANTILES
            },
        }


def histogram_quantile(histogram: np.ndarray, quantile: float) -> int:
    """Return the smallest HU with at least this share of voxels at or below.

    Args:
        histogram: (HISTOGRAM_BINS,) counts of 1 HU bins, not all zero.
        quantile: in (0, 1].
    """
    cumulated = np.cumsum(histogram)
    place = np.searchsorted(cumulated, quantile * cumulated[-1])
    return int(place) + HISTOGRAM_LOWEST_HU


def value_names(
    stored_sets: np.ndarray, label_names: Sequence[str], open_background: bool
) -> list[str]:
    """Return a name for each stored value: its label, or labels joined by +.

    Args:
        stored_sets: (V, L) bool.
        label_names: the L names, background first.
        open_background: whether some case does not annotate every label.
    """
    names = []
    for labels in np.asarray(stored_sets, bool):
        if labels.all():
            names.append("ignore")
            continue
        chosen = np.flatnonzero(labels).tolist()
        names.append(" + ".join(label_names[index] for index in chosen))
    if open_background:
        names[0] = f"open {BACKGROUND}"
    return names


def database_statistics(
    files: Iterable[Path], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of one database.

    Args:
        files: the npz of each scan.
        names: (V,) see `value_names`.
    """
    statistics = ValueStatistics(len(names))
    for file in files:
        with np.load(file) as scan:
            statistics.add(scan)
    return statistics.rows(names)
