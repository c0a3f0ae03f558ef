"""Dice, HD95 and NSD of one scan, against surface-distance and MONAI.

    python benchmarks/evaluate.py [--quick]

The reference is the phantom with six labels, on three grids; the prediction is
the same labels, bent by a smooth field of 2 mm (sd), once also of 8 mm: a bad
prediction has longer ways to search. Each side gets the two label maps and
returns three numbers per label. All three agree on Dice and, to rounding, on
the NSD; surface-distance also on the HD95. MONAI measures HD95 between
boundary voxels, not surfaces: it must agree to a voxel's diagonal.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import measure
import numpy as np
import surface_distance
from measure import Target
from scipy import ndimage

from tfpartial.config.experiment import Phantom
from tfpartial.evaluation.scores import score_case
from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import structures_of
from tfpartial.phantom.make import make_case
from tfpartial.phantom.scanner import LABELS

TOLERANCE_MM = 2.0
# Of Dice, NSD (MONAI: float32) and HD95 (mm) against surface-distance.
SAME = 1e-9
SAME_AS_FLOAT32 = 1e-5
# Scans of fewer voxels only have to be as fast.
LARGE_VOXELS = 1e6
# mm of the grid, mm that the prediction is bent by (sd), repeats.
FULL = ((4.0, 2.0, 20), (2.0, 2.0, 20), (2.0, 8.0, 20), (1.25, 2.0, 20))
QUICK = ((8.0, 8.0, 2),)
FIELD_MM = (384, 320, 256)
BENT_OVER_MM = 12.0
Scores = np.ndarray


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args(arguments).quick
    # surface-distance calls scipy by names of old.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    seconds: measure.Seconds = {}
    targets: list[Target] = []
    off: dict[str, float] = {}
    about = {}
    for mm, bent_mm, repeats in QUICK if quick else FULL:
        reference, prediction = make_pair(mm, bent_mm)
        voxels = f"{reference.size / 1e6:.2g} M voxels, {bent_mm:g} mm off"
        spacing = (mm,) * 3
        sides = sides_of(reference, prediction, spacing)
        found = {name: side() for name, side in sides.items()}
        about[voxels] = {"shape": reference.shape, "spacing_mm": mm,
                         "scores": found["ours"].round(4).tolist()}  # fmt: skip
        for name, difference in differences(found, mm).items():
            off[name] = measure.worst([off.get(name, 0.0), difference])
        taken = measure.in_turn(sides, repeats, warmup=1)
        seconds |= {f"{name}, {voxels}": s for name, s in taken.items()}
        limit = 3.0 if reference.size > LARGE_VOXELS else 1.0
        targets += [
            Target(f"time of {peer} / ours, {voxels}",
                   measure.ratio(taken, peer, "ours"), limit)
            for peer in taken if peer != "ours"
        ]  # fmt: skip
    measure.report(
        "evaluate", seconds, targets, off, labels=len(LABELS),
        tolerance_mm=TOLERANCE_MM, scans=about,
        peers=[name for name in found if name != "ours"],
    )  # fmt: skip
    return int(not all(value <= 1.0 for value in off.values()))


def make_pair(mm: float, bent_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and bent prediction, (I, J, K) uint8, at a spacing."""
    shape = tuple(round(length / mm) for length in FIELD_MM)
    options = Phantom(shape=shape, spacing_mm=(mm, mm, mm))
    _, labels = make_case(options, "supine", 1)
    draw = np.random.default_rng(0)
    bent = []
    for axis in np.indices(shape, np.float32, sparse=True):
        noise = draw.normal(size=shape).astype(np.float32)
        field = ndimage.gaussian_filter(noise, BENT_OVER_MM / mm, mode="wrap")
        bent.append(axis + field * (bent_mm / mm / field.std()))
    prediction = ndimage.map_coordinates(labels.array, bent, order=0)
    return labels.array, prediction


def sides_of(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> dict[str, Callable[[], Scores]]:
    """Return each way to get (labels, 3): Dice, HD95 in mm, NSD."""
    given = (reference, prediction, spacing)
    sides = {
        "ours": lambda: ours(*given),
        "surface-distance": lambda: theirs(*given),
    }
    if find_spec("torch") and find_spec("monai"):
        sides["MONAI"] = lambda: monai(*given)
    return sides


def ours(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> Scores:
    space = LabelSpace(tuple(Label(name) for name in LABELS))
    everything = np.eye(space.num_labels, dtype=bool)
    structures = structures_of(
        everything, np.ones(space.num_labels, bool), space
    )
    rows = score_case(
        "phantom", "1", reference, prediction, structures, spacing,
        TOLERANCE_MM,
    )  # fmt: skip
    return np.array([(row.dice, row.hd95_mm, row.nsd) for row in rows])


def theirs(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> Scores:
    rows = []
    for label in range(1, len(LABELS) + 1):
        masks = reference == label, prediction == label
        found = surface_distance.compute_surface_distances(*masks, spacing)
        rows.append(
            (
                surface_distance.compute_dice_coefficient(*masks),
                surface_distance.compute_robust_hausdorff(found, 95),
                surface_distance.compute_surface_dice_at_tolerance(
                    found, TOLERANCE_MM
                ),
            )
        )
    return np.array(rows)


def monai(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> Scores:
    import torch
    from monai.metrics import (
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )
    from monai.networks import one_hot

    found, expected = (
        one_hot(torch.from_numpy(labels)[None, None], len(LABELS) + 1,
                dtype=torch.uint8)
        for labels in (prediction, reference)
    )  # fmt: skip
    dice = compute_dice(found, expected, include_background=False)
    hd95 = compute_hausdorff_distance(
        found, expected, percentile=95, spacing=spacing
    )
    nsd = compute_surface_dice(
        found, expected, [TOLERANCE_MM] * len(LABELS), spacing=spacing,
        use_subvoxels=True,
    )  # fmt: skip
    return torch.stack([dice[0], hd95[0], nsd[0]], 1).double().numpy()


def differences(found: dict[str, Scores], mm: float) -> dict[str, float]:
    """Return the largest difference of each, in units of its tolerance."""
    base = found["ours"]
    limits: dict[str, Any] = {
        "surface-distance": (SAME, SAME, SAME),
        "MONAI": (SAME_AS_FLOAT32, mm * 3**0.5, SAME_AS_FLOAT32),
    }
    return {
        f"{name}_{metric}_in_tolerances": float(
            np.abs(base - scores)[:, column].max() / limits[name][column]
        )
        for name, scores in found.items()
        if name != "ours"
        for column, metric in enumerate(("dice", "hd95", "nsd"))
    }


if __name__ == "__main__":
    sys.exit(main())
