"""The scans that benchmarks of the data path read.

In: a folder. Out: a database in it and the `Experiment` that declares it. The
built-in phantom by default; scans of OpenKBP where TFPARTIAL_OPENKBP names
their folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.config import Experiment
from tfpartial.config.experiment import Phantom
from tfpartial.phantom.make import make_case
from tfpartial.phantom.scanner import LABELS
from tfpartial.scans import (
    Grid,
    Volume,
    read_image,
    resample_image,
    resample_labels,
    round_hu,
    write_volume,
)

Triple = tuple[int, int, int]
VARIABLE = "TFPARTIAL_OPENKBP"
NOISE_SD_HU = 12.0
OPENKBP_VALUES = {
    "10": "SpinalCord",
    "20": "Brainstem",
    "31": "LeftParotid",
    "32": "RightParotid",
}


def source() -> str:
    """Return which scans are read: "phantom" or "openkbp"."""
    return "openkbp" if os.environ.get(VARIABLE) else "phantom"


def phantom_scan(
    shape: Triple, spacing_mm: Sequence[float], seed: int
) -> tuple[Volume, Volume]:
    """Return a scan (int16 HU) and its labels: a phantom, enlarged."""
    return _enlarged(*_anatomy(shape, spacing_mm), shape, seed)


def _anatomy(
    shape: Triple, spacing_mm: Sequence[float]
) -> tuple[Volume, Volume]:
    """Make a phantom on every second voxel per axis: an eighth of the time."""
    i, j, k = (max(1, size // 2) for size in shape)
    x, y, z = np.asarray(spacing_mm) * np.asarray(shape) / (i, j, k)
    options = Phantom(shape=(i, j, k), spacing_mm=(x, y, z))
    return make_case(options, "supine", 1)


def large_scan(shape: Triple, spacing_mm: Sequence[float]) -> Volume:
    """Return one scan (int16 HU) of a shape: real, enlarged, or a phantom."""
    if source() == "phantom":
        return phantom_scan(shape, spacing_mm, seed=0)[0]
    folder = _openkbp() / "db1" / "imagesTr"
    scan = read_image(min(folder.glob("*.nii.gz")))
    labels = Volume(np.zeros(scan.shape, np.uint8), scan.affine)
    return _enlarged(scan, labels, shape, seed=0)[0]


def _enlarged(
    scan: Volume, labels: Volume, shape: Triple, seed: int
) -> tuple[Volume, Volume]:
    """Resample to a finer grid with the same edges, and add noise.

    Noise is drawn for every voxel: it decides how well a file compresses.
    """
    scale = np.diag([*(np.asarray(scan.shape) / np.asarray(shape)), 1.0])
    scale[:3, 3] = (np.diag(scale)[:3] - 1) / 2
    grid = Grid(shape, scan.affine @ scale)
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    hu = resample_image(scan, grid) + NOISE_SD_HU * noise
    return (
        Volume(round_hu(hu), grid.affine),
        Volume(resample_labels(labels, grid, fill=0), grid.affine),
    )


def _openkbp() -> Path:
    return Path(os.environ[VARIABLE]) / "openkbp"


def write_phantoms(
    folder: Path, cases: int, shape: Triple, spacing_mm: Sequence[float]
) -> None:
    """Write a database of `cases` phantoms that differ in their noise."""
    anatomy = _anatomy(shape, spacing_mm)
    for number in range(cases):
        scan, labels = _enlarged(*anatomy, shape, seed=number)
        write_volume(folder / f"case_{number:02d}" / "ct.nii.gz", scan)
        write_volume(folder / f"case_{number:02d}" / "labels.nii.gz", labels)


def experiment_of(
    folder: Path,
    cases: int,
    spacing_mm: Sequence[float],
    phantom: tuple[Triple, Sequence[float]],
    of: str | None = None,
    workers: int = 2,
    **sections: Any,
) -> Experiment:
    """Return an experiment over one database of `cases` scans, all train.

    Args:
        folder: to work in; phantoms are made in it unless they are there.
        cases: how many scans.
        spacing_mm: of the records.
        phantom: shape and spacing in mm of phantoms.
        of: "phantom" or "openkbp"; default: `source`.
        workers: processes that build records.
        sections: of the experiment, replaced.
    """
    real = (of or source()) == "openkbp"
    path = folder / "scans"
    if real:
        path = _openkbp() / "db2"
        values = OPENKBP_VALUES
    else:
        values = {str(1 + n): name for n, name in enumerate(LABELS)}
        if not path.exists():
            write_phantoms(path, cases, *phantom)
    found = sorted(each.name for each in path.iterdir() if each.is_dir())
    splits = folder / "splits.json"
    splits.write_text(json.dumps({"scans": {"train": found[:cases]}}))
    return Experiment.model_validate(
        {
            "label_space": [{"name": name} for name in values.values()],
            "databases": [
                {
                    "name": "scans",
                    "layout": "label_map_folder",
                    "path": str(path),
                    "values": values,
                    "exclude": found[cases:],
                    "licence": "see its source",
                    "citation": "see its source",
                }
            ],
            "records_dir": str(folder / "records"),
            "run_dir": str(folder / "run"),
            "preprocess": {"spacing_mm": tuple(spacing_mm)},
            "build": {"splits": {"file": str(splits)}, "workers": workers},
        }
        | sections
    )
