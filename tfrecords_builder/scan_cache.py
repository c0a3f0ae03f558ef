"""One scan -> its canonical arrays and statistics, as one cached file.

In: `ScanJob` (a case, its declaration, settings). Out: an npz, written beside
its final name and renamed, so that a file that exists is complete.
Runs in worker processes: nothing here may import TensorFlow.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.config import Database, Preprocess
from tfpartial.databases import Case, exact_hash, read_case
from tfpartial.databases.sources import GRID_OFF
from tfpartial.errors import Faults, InputError
from tfpartial.labels import LabelSpace
from tfpartial.scans import (
    Volume,
    count_values,
    preprocess,
    resample_labels,
)
from tfpartial.scans.orientation import shear_degrees

HISTOGRAM_LOWEST_HU = -1024
HISTOGRAM_BINS = 4096  # of 1 HU; voxels beyond count in the outermost bins
VOXELS = ("image", "labels")
_COMPRESSION_LEVEL = 6
_MEMBERS = "members"
_SLICES_PER_SAMPLE = 8


@dataclass(frozen=True, eq=False)
class ScanJob:
    """What a worker needs for one scan.

    Attributes:
        case: the case.
        database: as declared.
        space: the label space.
        settings: spacing, HU window, body threshold.
        ignore_value: stored value of voxels outside the scan.
        num_values: V, stored values of the database.
        target: the npz to write.
    """

    case: Case
    database: Database
    space: LabelSpace
    settings: Preprocess
    ignore_value: int
    num_values: int
    target: Path


def exit_with_parent() -> None:
    """Let this worker end when its parent is killed.

    A worker that waits for its next job does not notice: it would stay.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def preprocess_scan(job: ScanJob) -> tuple[str, ...]:
    """Preprocess one scan and write its npz.

    Returns:
        The faults found in the input; empty: the file is written. (Returned,
        not raised, so that the faults of all scans are shown together.)
    """
    try:
        arrays = _preprocessed(job)
    except InputError as error:
        return error.faults
    write_scan(job.target, arrays)
    return ()


def _preprocessed(job: ScanJob) -> dict[str, Any]:
    """Return everything that the records say about one scan."""
    with Faults() as faults:
        image, stored = read_case(job.case, job.database, job.space, faults)
    settings = job.settings
    result = preprocess(
        image,
        settings.spacing_mm,
        settings.hu_window,
        settings.body_threshold_hu,
        prone_turn=job.case.prone_turn,
        name=job.case.source.name,
    )
    labels = resample_labels(
        Volume(stored.array, result.turned_affine),
        result.grid,
        fill=job.ignore_value,
    )
    native = count_values(stored.array, job.num_values)
    return {
        "image": result.hu,
        "labels": labels,
        "scan_shape": np.asarray(result.hu.shape),
        "affine": result.grid.affine,
        "spacing_mm": np.asarray(settings.spacing_mm, np.float64),
        "mean": np.float64(result.mean),
        "sd": np.float64(result.sd),
        "source_shape": np.asarray(result.source_shape),
        "source_value_counts": native,
        # With the turned affine a prone copy equals its supine original.
        "exact_hash": exact_hash(Volume(image.array, result.turned_affine)),
        "shear_degrees": np.float64(shear_degrees(image.affine)),
        "grid_off_mm": np.float64(faults.noted.get(GRID_OFF, 0.0)),
        "compressed_bytes": compressed_bytes(result.hu, labels),
        **hu_statistics(result.hu, labels, job.num_values),
    }


def compressed_bytes(image: np.ndarray, labels: np.ndarray) -> int:
    """Return about how large the scan is as two gzip files of level 6.

    This is what the size of the records is compared with. Every eighth slice
    is compressed: slices are larger than deflate's window of 32 KB, and to
    compress all of them takes longer than everything else that a build does.

    Args:
        image: (I, J, K) int16 HU.
        labels: (I, J, K) uint8 stored values.
    """
    samples = image[::_SLICES_PER_SAMPLE], labels[::_SLICES_PER_SAMPLE]
    size = sum(
        len(zlib.compress(sample.tobytes(), _COMPRESSION_LEVEL))
        for sample in samples
    )
    return round(size * len(image) / len(samples[0]))


def hu_statistics(
    image: np.ndarray, labels: np.ndarray, num_values: int
) -> dict[str, np.ndarray]:
    """Count, add and histogram the HU of each stored value.

    All of it comes from one histogram over (stored value, HU): sums of whole
    numbers, exact.

    Args:
        image: (I, J, K) int16 HU.
        labels: (I, J, K) uint8 stored values below `num_values`.
        num_values: V.

    Returns:
        hu_count (V,) int64, hu_sum and hu_square_sum (V,) float64,
        hu_histogram (V, HISTOGRAM_BINS) int64.
    """
    low, high = int(image.min()), int(image.max())
    width = high - low + 1
    cells = image.astype(np.int32)
    cells -= low
    cells += labels * np.int32(width)
    counts = count_values(cells, num_values * width).reshape(-1, width)
    hu = np.arange(low, high + 1)
    bins = np.clip(hu - HISTOGRAM_LOWEST_HU, 0, HISTOGRAM_BINS - 1)
    histogram = np.zeros((num_values, HISTOGRAM_BINS), np.int64)
    np.add.at(histogram.T, bins, counts.T)
    return {
        "hu_count": counts.sum(axis=1),
        "hu_sum": (counts @ hu).astype(np.float64),
        "hu_square_sum": (counts @ hu**2).astype(np.float64),
        "hu_histogram": histogram,
    }


def drop_stale(targets: Sequence[Path]) -> None:
    """Remove what an earlier, different or killed call left, or is damaged.

    Args:
        targets: the files to keep, all of one folder; at least one.
    """
    wanted = set(targets)
    for path in targets[0].parent.glob("*"):
        if path in wanted and _is_whole(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_whole(path: Path) -> bool:
    """Tell whether a file is what `write_scan` wrote, by zip's checksums."""
    if not path.is_file():
        return False  # a pipe would not end
    try:
        with zipfile.ZipFile(path) as file:
            stored = [i.compress_type for i in file.infolist()]
            if any(stored) or file.testzip() is not None:
                return False
        with np.load(path) as scan:
            return sorted(scan.files) == scan[_MEMBERS].tolist()
    except Exception:  # a damaged zip raises nearly anything
        return False


def write_scan(target: Path, arrays: dict[str, Any]) -> None:
    """Write an npz that exists only when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            members = np.asarray(sorted([*arrays, _MEMBERS]))
            np.savez(file, **(arrays | {_MEMBERS: members}))
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
