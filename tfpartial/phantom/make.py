"""Two databases of phantoms on disk, made once and reused.

In: the `phantom` section, a folder. Out: `supine/<case>/{ct,labels}.nii.gz`,
`prone/<case>/ct.nii.gz` with `segmentations/<structure>.nii.gz`, and
`phantom.json`, which says with what parameters the set was made.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tfpartial.config.experiment import Phantom
from tfpartial.errors import InputError, shown
from tfpartial.files.folder_lock import waiting_lock
from tfpartial.files.safe_reading import read_json
from tfpartial.phantom.bones import build_skeleton
from tfpartial.phantom.organs import build_organs
from tfpartial.phantom.patient import standard_positions, voxel_positions
from tfpartial.phantom.scanner import (
    LABELS,
    Anatomy,
    Scanner,
    build_labels,
    render,
)
from tfpartial.phantom.tissue import build_tissue
from tfpartial.scans import Volume, turn_prone, write_volume

# Raised whenever the same parameters would give other voxels.
VERSION = 1
MARKER = "phantom.json"
PRONE_LABELS = LABELS[:3]
PRONE_SPACING = (0.9, 0.9, 1.25)
PRONE_FIELD = (1.04, 1.08, 1.0)


def make_phantom(options: Phantom, root: Path) -> None:
    """Make both databases below `root`, or recognise them as made.

    The set is written beside `root` and renamed, so `root` is complete or
    absent; a second process waits for the first. The same options give the
    same voxels, bit by bit.

    Args:
        options: numbers of cases, shape, spacing and seed.
        root: the folder; must not hold anything else.

    Raises:
        InputError: `root` holds a set with other parameters, or other files.
    """
    root = Path(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    lock = root.with_name(f".{root.name}.lock")
    with waiting_lock(lock, root, "another command"):
        if _is_finished(root, options):
            return
        staging = root.with_name(f".{root.name}.partial")
        shutil.rmtree(staging, ignore_errors=True)
        cases = [("supine", n) for n in range(1, options.supine_cases + 1)]
        cases += [("prone", n) for n in range(1, options.prone_cases + 1)]
        try:
            for position, number in tqdm(cases, desc="phantom", unit="scan"):
                _write_case(options, position, number, staging)
            text = json.dumps(_parameters(options), indent=2)
            (staging / MARKER).write_text(text + "\n", encoding="utf-8")
            os.replace(staging, root)
        finally:
            # Also when the disk is full: it takes the space that is missing.
            shutil.rmtree(staging, ignore_errors=True)


def make_case(
    options: Phantom, position: str, number: int
) -> tuple[Volume, Volume]:
    """Return one scan (int16 HU) and its six labels, in patient RAS.

    Each case has its own random streams, so it is the same however many
    others are made. A prone scan has another spacing and field of view than
    a supine one, more noise and an offset.
    """
    prone = position == "prone"
    shape, spacing = _grid(options, prone)
    seeds = np.random.SeedSequence([VERSION, options.seed, prone, number])
    pose, bones, organs, tissue, scan = (
        np.random.default_rng(seed) for seed in seeds.spawn(5)
    )
    positions = voxel_positions(shape, spacing)
    points = standard_positions(positions, spacing, pose)
    anatomy = Anatomy(
        build_tissue(points, prone, tissue),
        build_skeleton(points, bones),
        build_organs(points, prone, organs),
    )
    labels = build_labels(anatomy)
    hu = render(anatomy, labels, positions, prone, _scanner(prone, scan), scan)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [axis.min() for axis in positions]
    return Volume(np.rint(hu).astype(np.int16), affine), Volume(labels, affine)


def _grid(
    options: Phantom, prone: bool
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """The prone scanner has finer pixels, thicker slices, a wider field."""
    if not prone:
        return options.shape, options.spacing_mm
    x, y, z = (
        length * factor
        for length, factor in zip(
            options.spacing_mm, PRONE_SPACING, strict=True
        )
    )
    i, j, k = (
        max(1, round(size * field / factor))
        for size, field, factor in zip(
            options.shape, PRONE_FIELD, PRONE_SPACING, strict=True
        )
    )
    return (i, j, k), (x, y, z)


def _scanner(prone: bool, rng: np.random.Generator) -> Scanner:
    if prone:
        return Scanner(rng.uniform(24, 28), 0.45, 0.45, rng.normal(9, 3))
    return Scanner(rng.uniform(19, 24), 0.65, 0.55, rng.normal(0, 3))


def _write_case(
    options: Phantom, position: str, number: int, staging: Path
) -> None:
    scan, labels = make_case(options, position, number)
    folder = staging / position / f"{position}_{number:02d}"
    if position == "supine":
        scan, labels = _stored_as_lps(scan), _stored_as_lps(labels)
        write_volume(folder / "ct.nii.gz", scan)
        names = {0: "background", **dict(enumerate(LABELS, start=1))}
        write_volume(folder / "labels.nii.gz", labels, names)
        return
    # The scanner takes the patient for supine: both axes are turned.
    affine = turn_prone(scan.affine)
    write_volume(folder / "ct.nii.gz", Volume(scan.array, affine))
    for name in PRONE_LABELS:
        mask = labels.array == LABELS.index(name) + 1
        write_volume(
            folder / "segmentations" / f"{name}.nii.gz",
            Volume(mask.astype(np.uint8), affine),
        )


def _stored_as_lps(volume: Volume) -> Volume:
    """The same voxels in space, first two axes stored the other way round."""
    affine = volume.affine.copy()
    for axis in (0, 1):
        affine[:3, 3] += affine[:3, axis] * (volume.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Volume(np.ascontiguousarray(volume.array[::-1, ::-1]), affine)


def _parameters(options: Phantom) -> dict[str, Any]:
    parameters = options.model_dump(mode="json", exclude={"path"})
    return {"version": VERSION, **parameters}


def _is_finished(root: Path, options: Phantom) -> bool:
    """True for the same set; False where there is nothing."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    wanted = _parameters(options)
    remedy = "Remove the folder or give another phantom.path."
    marker = root / MARKER
    if not marker.is_file():
        raise InputError(
            f"{root}: expected a phantom set (with {MARKER}) or nothing, "
            f"found other files. {remedy}"
        )
    found = read_json(marker, "a phantom set", remedy)
    if found != wanted:
        raise InputError(
            f"{root}: expected a phantom set made with {wanted}, found one "
            f"made with {shown(found)}. {remedy}"
        )
    return True
