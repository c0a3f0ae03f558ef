"""Tiny databases on disk and their records, made by the real builder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tfpartial.config import Experiment
from tfpartial.files.stamp import STAMP_FILE, write_stamp

LABELS = ["bone", "left", "right"]
SPLITS = {
    "full": {
        "train": ["f0", "f1"],
        "validation": ["f2"],
        "test": ["f3"],
    },
    "part": {"train": ["p0", "p1", "p2"]},
}
# Neither multiples of the blocks (8) nor of each other.
SHAPE = (21, 18, 13)
SPACING_MM = (3.0, 3.0, 3.0)


def tiny_scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy ball with three boxes: HU int16, labels 1, 2, 3 uint8."""
    rng = np.random.default_rng(seed)
    centre = (np.array(SHAPE) - 1) / 2
    places = np.stack(np.indices(SHAPE), -1)
    inside = np.linalg.norm((places - centre) / centre, axis=-1) < 0.95
    hu = np.where(inside, 40, -1000) + rng.integers(-20, 20, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:12, 6:10, 3:9] = 1
    labels[4:7, 8:12, 5:9] = 2
    labels[14:17, 8:12, 5:9] = 3
    hu[labels == 1] += 500
    return hu.astype(np.int16), labels


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_databases(folder: Path) -> None:
    """Write `full` (label maps, all labels) and `part` (masks, merged)."""
    affine = np.diag([*SPACING_MM, 1.0])
    for number, case in enumerate(["f0", "f1", "f2", "f3"]):
        hu, labels = tiny_scan(number)
        write_nifti(folder / "full" / case / "ct.nii.gz", hu, affine)
        write_nifti(folder / "full" / case / "labels.nii.gz", labels, affine)
    for number, case in enumerate(["p0", "p1", "p2"]):
        hu, labels = tiny_scan(10 + number)
        home = folder / "part" / case
        write_nifti(home / "ct.nii.gz", hu, affine)
        masks = {"bone": labels == 1, "sides": labels > 1}
        for name, mask in masks.items():
            path = home / "segmentations" / f"{name}.nii.gz"
            write_nifti(path, mask.astype(np.uint8), affine)
    (folder / "splits.json").write_text(json.dumps(SPLITS))


def tiny_experiment(
    folder: Path, records_dir: Path, **sections: Any
) -> Experiment:
    """Declare the databases of `write_databases`."""
    both = {"licence": "none", "citation": "none"}
    full = {
        "name": "full",
        "layout": "label_map_folder",
        "path": str(folder / "full"),
        "values": {"1": "bone", "2": "left", "3": "right"},
    }
    part = {
        "name": "part",
        "layout": "mask_folder",
        "path": str(folder / "part"),
        "values": {"bone": "bone", "sides": ["left", "right"]},
    }
    declared: dict[str, Any] = {
        "label_space": [
            {"name": "bone"},
            {"name": "left", "mirror": "right"},
            {"name": "right", "mirror": "left"},
        ],
        "databases": [full | both, part | both],
        "records_dir": str(records_dir),
        "run_dir": str(folder / "run"),
        "preprocess": {"spacing_mm": SPACING_MM},
        "build": {
            "block_shape": (8, 8, 8),
            "workers": 1,
            "splits": {"file": str(folder / "splits.json")},
        },
    }
    for name, section in sections.items():
        if isinstance(section, dict):
            section = declared.get(name, {}) | section
        declared[name] = section
    return Experiment.model_validate(declared)


def stamp_anew(home: Path) -> None:
    """Vouch for records as they are now, as who changes them on purpose may.

    Args:
        home: the folder of one database's records.
    """
    stamp = home / STAMP_FILE
    key = json.loads(stamp.read_text())["key"]
    write_stamp(stamp, key, [p for p in home.iterdir() if p != stamp])
