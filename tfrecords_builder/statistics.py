"""Voxel and intensity statistics per database and stored value.

In: the preprocessed scans of one database. Out: rows for the manifest.
Everything is counted on the canonical grid, which is what is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.labels import BACKGROUND
from tfrecords_builder.scan_cache import HISTOGRAM_LOWEST_HU, VOXELS

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def gather_numbers(
    files: Iterable[Path], names: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Open the npz of each scan once and take everything but the voxels.

    Args:
        files: the npz of each scan; see `scan_cache`.
        names: (V,) see `value_names`.

    Returns:
        What each npz says of its scan, without voxels and histogram; and one
        row per stored value: cases, voxels, millilitres, HU.
    """
    scans = []
    sums: dict[str, Any] = {}
    for file in files:
        with np.load(file) as npz:
            scan = {name: npz[name] for name in npz.files if name not in VOXELS}
        count = scan["hu_count"]
        added = {
            "cases": count > 0,
            "voxels": count,
            "volume_ml": count * math.prod(scan["spacing_mm"]) / 1000,
            "hu": scan["hu_sum"],
            "square": scan["hu_square_sum"],
            # Megabytes: added up here, kept for no scan.
            "histogram": scan.pop("hu_histogram"),
        }
        sums = {name: sums.get(name, 0) + each for name, each in added.items()}
        scans.append(scan)
    rows = [
        {"stored_value": value, "label": name}
        | _row({key: each[value] for key, each in sums.items()})
        for value, name in enumerate(names)
    ]
    return scans, rows


def _row(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics of one stored value from its sums over scans."""
    count = int(sums["voxels"])
    row = {
        "cases": int(sums["cases"]),
        "voxels": count,
        "volume_ml": round(float(sums["volume_ml"]), 3),
    }
    if count == 0:
        return row
    mean = sums["hu"] / count
    variance = max(sums["square"] / count - mean**2, 0.0)
    return row | {
        "hu_mean": round(float(mean), 2),
        "hu_sd": round(math.sqrt(variance), 2),
        "hu_quantiles": {
            str(q): histogram_quantile(sums["histogram"], q) for q in QUANTILES
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
