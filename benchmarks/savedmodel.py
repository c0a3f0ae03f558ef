"""The exported whole-scan signature, against predict's own path.

    python benchmarks/savedmodel.py [--quick]

Both get the same scan, the phantom on a grid of 320 x 320 x 100 voxels of
0.7 x 0.7 x 2 mm, bring it to 2 mm, segment it with overlapping windows of 64^3
and bring the labels back. One process: both run in the same TensorFlow, in
turn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
import numpy as np
import tensorflow as tf
from measure import Target

from tfpartial.config import load_experiment, write_resolved
from tfpartial.config.experiment import Phantom
from tfpartial.export.check import MAX_SHARE
from tfpartial.export.savedmodel import export_run
from tfpartial.inference.predict import predict_scan
from tfpartial.phantom.make import make_case
from tfpartial.runs.loaded_run import (
    LoadedRun,
    load_network,
    load_run,
    network_of,
)
from tfpartial.runs.weights import write_weights
from tfpartial.scans import Grid, Volume, resample_image

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "phantom.yaml"
PHANTOM_MM = 4.0


@dataclass(frozen=True)
class Size:
    """What it runs on: the scan's own grid, the network and its window."""

    shape: tuple[int, int, int] = (320, 320, 100)
    spacing_mm: tuple[float, float, float] = (0.703125, 0.703125, 2.0)
    canonical_mm: float = 2.0
    window: int = 64
    filters: tuple[int, ...] = (8, 16, 32)
    repeats: int = 20


FULL = Size()
QUICK = Size((40, 36, 20), (9.0, 9.0, 12.0), 10.0, 16, (4, 8), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args(arguments).quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), size)


def compare(folder: Path, size: Size) -> int:
    """Measure both ways; return 1 if more than 0.1 % of the labels differ."""
    run = make_run(folder, size)
    network = load_network(run)
    exported = export_run(run, "student", folder / "model")
    signature = tf.saved_model.load(str(exported)).signatures["segment_scan"]
    scan = make_scan(size)

    def predicted() -> np.ndarray:
        labels, _ = predict_scan(
            network, scan, run.space, run.experiment.preprocess,
            run.experiment.predict, window_shape=run.window_shape,
        )  # fmt: skip
        return labels

    def served() -> np.ndarray:
        found = signature(
            volume_hu=tf.constant(scan.array, tf.float32),
            affine=tf.constant(scan.affine),
        )
        return found["labels"].numpy()

    expected = predicted()
    different = float((served() != expected).mean())
    seconds = measure.in_turn(
        {"SavedModel": served, "predict": predicted}, size.repeats, warmup=1
    )
    measure.report(
        "savedmodel",
        seconds,
        [Target("time of the SavedModel / predict",
                measure.ratio(seconds, "SavedModel", "predict"),
                1.1, at_least=False)],
        {"different_voxels": different},
        scan=size.shape, spacing_mm=size.spacing_mm,
        canonical_mm=size.canonical_mm, window=size.window,
        filters=size.filters, labels_found=np.unique(expected).tolist(),
    )  # fmt: skip
    return int(not different <= MAX_SHARE)


def make_run(folder: Path, size: Size) -> LoadedRun:
    """Write a run of the shipped phantom config with untrained weights."""
    overrides = [
        f"run_dir={folder / 'run'}",
        f"preprocess.spacing_mm={[size.canonical_mm] * 3}",
        f"network.filters={list(size.filters)}",
        "network.dropout=[]",
        f"fit.patch_shape={[size.window] * 3}",
        "predict.network=student",
    ]
    experiment = load_experiment(CONFIG, overrides)
    run_dir = folder / "run"
    run_dir.mkdir()
    write_resolved(experiment, run_dir / "config.yaml")
    write_weights(network_of(experiment, "student"), run_dir, "student")
    return load_run(run_dir)


def make_scan(size: Size) -> Volume:
    """Return the phantom on a scanner's grid, int16 HU."""
    field = np.multiply(size.shape, size.spacing_mm)
    coarse = tuple(int(n) for n in np.ceil(field / PHANTOM_MM))
    options = Phantom(shape=coarse, spacing_mm=(PHANTOM_MM,) * 3)
    scan, _ = make_case(options, "supine", 1)
    affine = np.diag([*size.spacing_mm, 1.0])
    affine[:3, 3] = scan.affine[:3, 3]
    hu = resample_image(scan, Grid(size.shape, affine))
    return Volume(np.rint(hu).astype(np.int16), affine)


if __name__ == "__main__":
    sys.exit(main())
