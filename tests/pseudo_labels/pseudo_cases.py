"""Three tiny databases, their records, a run's folder, a known prediction."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from tiny_records import SPACING_MM, tiny_experiment, tiny_scan, write_nifti

from tfpartial.config import Experiment, write_resolved
from tfpartial.files.stamp import STAMP_FILE, write_stamp
from tfpartial.runs.loaded_run import LoadedRun, load_run

SPLITS = {
    "full": {"train": ["f0", "f1"], "validation": ["f2"], "test": ["f3"]},
    "some": {"train": ["s0", "s1"], "validation": ["s2"], "test": ["s3"]},
    "merged": {"train": ["m0", "m1"]},
}
NETWORK = {"filters": [2, 4], "dropout": [0.0]}
FIT = {"patch_shape": [16, 16, 8], "epochs": 2, "steps_per_epoch": 1}


def write_scans(folder: Path) -> None:
    """Write `full` (all labels), `some` (bone, ignore), `merged` (sides)."""
    affine = np.diag([*SPACING_MM, 1.0])
    for number, case in enumerate([*"0123"]):
        hu, labels = tiny_scan(number)
        write_nifti(folder / f"full/f{case}/ct.nii.gz", hu, affine)
        write_nifti(folder / f"full/f{case}/labels.nii.gz", labels, affine)
        hu, labels = tiny_scan(20 + number)
        labels[labels > 1] = 0
        labels[:3, :3, :3] = 9
        write_nifti(folder / f"some/s{case}/ct.nii.gz", hu, affine)
        write_nifti(folder / f"some/s{case}/labels.nii.gz", labels, affine)
    for number, case in enumerate([*"01"]):
        hu, labels = tiny_scan(40 + number)
        home = folder / "merged" / f"m{case}"
        write_nifti(home / "ct.nii.gz", hu, affine)
        sides = (labels > 1).astype(np.uint8)
        write_nifti(home / "segmentations/sides.nii.gz", sides, affine)
    (folder / "splits.json").write_text(json.dumps(SPLITS))


def experiment_of(folder: Path, **sections: Any) -> Experiment:
    """Declare the databases of `write_scans`."""
    both = {"licence": "none", "citation": "none"}
    maps = {"layout": "label_map_folder"} | both
    declared: dict[str, Any] = {
        "databases": [
            maps
            | {
                "name": "full",
                "path": str(folder / "full"),
                "values": {"1": "bone", "2": "left", "3": "right"},
            },
            maps
            | {
                "name": "some",
                "path": str(folder / "some"),
                "values": {"1": "bone", "9": "ignore"},
            },
            both
            | {
                "name": "merged",
                "layout": "mask_folder",
                "path": str(folder / "merged"),
                "values": {"sides": ["left", "right"]},
            },
        ],
        "network": NETWORK,
        "fit": FIT,
    }
    declared |= sections
    records_dir = Path(declared.pop("records_dir", folder / "records"))
    return tiny_experiment(folder, records_dir, **declared)


def write_run(
    run_dir: Path, experiment: Experiment, weights: bytes = b"one"
) -> LoadedRun:
    """Write what fit leaves behind, trained on `full` alone."""
    run_dir.mkdir(parents=True, exist_ok=True)
    shares = {d.name: float(d.name == "full") for d in experiment.databases}
    sampling = experiment.sampling.model_copy(update={"weights": shares})
    trained = experiment.model_copy(update={"sampling": sampling})
    write_resolved(trained, run_dir / "config.yaml")
    cases = Path(experiment.records_dir) / "full" / "1.0.0" / "cases.json"
    sha256 = hashlib.sha256(cases.read_bytes()).hexdigest()
    about = {"seed": 0, "records_sha256": {"full": sha256}}
    (run_dir / "run.json").write_text(json.dumps(about))
    (run_dir / "student.weights.h5").write_bytes(weights)
    epoch = experiment.fit.epochs
    checkpoint = run_dir / "checkpoints" / f"epoch-{epoch:05d}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    write_stamp(checkpoint / STAMP_FILE, {"epoch": epoch})
    return load_run(run_dir)


def known_prediction(hu: np.ndarray) -> np.ndarray:
    """A prediction that a test can repeat: 0 ... 3, different per scan."""
    random = np.random.default_rng(int(hu.astype(np.int64).sum()) & 0xFFFF)
    return random.integers(0, 4, hu.shape).astype(np.uint8)
