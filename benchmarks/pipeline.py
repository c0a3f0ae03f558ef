"""Training patches from records with augmentation, on one core.

    python benchmarks/pipeline.py [--quick]

One core makes 64^3 patches from TFRecords, with rotation, scaling, intensities
and mirror; the small network (`unet3d`, 16/32/64/128 filters, batch 2) trains
on 2.7 of them per second on two such cores. The stages are timed on the same
patches: sample (draw a place), read (inflate the blocks that a patch touches),
decode (put them together, normalise), augment (interpolate, intensities).
Checked: the patches equal those of a slow twin, which interpolates in whole
scans with scipy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measure
import scans

from tfpartial.config import Experiment

NETWORK_PATCHES_PER_SECOND = 2.7
PATCH, TOY_PATCH = (64, 64, 64), (16, 16, 16)
PHANTOM = ((320, 288, 96), (1.0, 1.0, 2.5))
TOY_PHANTOM = ((40, 36, 32), (8.0, 8.0, 8.0))
# Positions are float32 here and float64 in the twin: off by up to 1e-5 voxels,
# where the steepest edge is 10 sd. A tie between labels may fall either way.
IMAGE_TOLERANCE, LABELS_TOLERANCE = 1e-2, 1e-3

STAGES = ("sample", "read", "decode", "augment")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    quick = parser.parse_args(arguments).quick
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        experiment = _experiment(Path(folder), quick)
        # Before TensorFlow counts the cores for its thread pools.
        os.sched_setaffinity(0, {min(cores)})
        try:
            return measured(experiment, quick)
        finally:
            os.sched_setaffinity(0, cores)


def _experiment(folder: Path, quick: bool) -> Experiment:
    """Make scans and records."""
    experiment = scans.experiment_of(
        folder,
        cases=2 if quick else 4,
        spacing_mm=(8.0,) * 3 if quick else (2.0,) * 3,
        phantom=TOY_PHANTOM if quick else PHANTOM,
        of="phantom" if quick else None,
        workers=1 if quick else 2,
        augment={"mirror_probability": 0.5},
        fit={"patch_shape": TOY_PATCH if quick else PATCH},
        sampling={"readers": 1},
    )
    if quick:
        build(experiment)
        return experiment
    # In a process of its own: building imports TensorFlow, which then keeps
    # threads for every core.
    context = multiprocessing.get_context("spawn")
    building = context.Process(target=build, args=(experiment,))
    building.start()
    building.join()
    if building.exitcode:
        raise RuntimeError("the records could not be built")
    return experiment


def build(experiment: Experiment) -> None:
    """Build the records of an experiment."""
    from tfrecords_builder.build import build_records

    build_records(experiment)


def measured(experiment: Experiment, quick: bool) -> int:
    """Time the pipeline and its stages; return the exit code."""
    from pipeline_stages import BATCH, Stages

    batches, repeats = (2, 2) if quick else (12, 20)
    stages = Stages(experiment, batches)
    checked = stages.difference_to_slow_twin(rows=min(6, batches * BATCH))
    seconds = measure.in_turn(stages.sides(), repeats)
    load = seconds.pop("load")
    known = zip(load, seconds["sample"], seconds["read"], strict=True)
    seconds["decode"] = [all_ - sample - read for all_, sample, read in known]
    both = zip(seconds["pipeline"], seconds["start"], strict=True)
    patches = batches * BATCH
    # Steady: what every further batch takes, once an iterator is there.
    steady = statistics.median(
        (all_ - first) / (patches - BATCH) for all_, first in both
    )
    rate = 1 / steady
    per_patch = {n: statistics.median(s) / patches for n, s in seconds.items()}
    stated = measure.Target
    measure.report(
        "pipeline",
        seconds,
        [
            stated(
                "patches per second of one core / "
                f"{NETWORK_PATCHES_PER_SECOND} that the network trains on",
                rate / NETWORK_PATCHES_PER_SECOND,
                10.0,
            ),
            stated("patches per second, one core", rate),
            *(
                stated(f"ms per patch: {name}", 1000 * per_patch[name])
                for name in STAGES
            ),
            stated(
                "ms per patch: batching and the rest of tf.data",
                1000 * (steady - sum(per_patch[name] for name in STAGES)),
            ),
        ],
        checked,
        scans="phantom" if quick else scans.source(),
        patch_shape=list(experiment.fit.patch_shape),
        patches_per_repeat=patches,
        augment=experiment.augment.model_dump(),
        **stages.about(),
    )
    same = (
        checked["image"] <= IMAGE_TOLERANCE
        and checked["labels"] <= LABELS_TOLERANCE
    )
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
