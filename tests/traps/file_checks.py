"""Checks of traps 5, 7, 8 and 9: what is read from files.

Each takes an empty folder, uses the real code through its public doors and
fails with the words that test_traps.py expects of a mutant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tiny_records import SPACING_MM, tiny_experiment, tiny_scan, write_nifti

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.databases import find_cases, read_case
from tfpartial.errors import InputError
from tfpartial.evaluation import evaluate_predictions
from tfpartial.evaluation.predictions import read_prediction
from tfpartial.records.store import RecordStore
from tfpartial.scans import read_image
from tfrecords_builder.build import build_records

AFFINE = np.diag([*SPACING_MM, 1.0])
VALUES = {"1": "bone", "2": "left", "3": "right"}


def _fault(action: Callable[..., object], *args: Any) -> str:
    """Return the words of the InputError that is raised, or nothing."""
    try:
        action(*args)
    except InputError as error:
        return str(error)
    return ""


def _write_case(
    home: Path,
    seed: int,
    values: tuple[int, ...] = (1, 2, 3),
    orientation: str = "RAS",
) -> None:
    """Write a tiny scan and its label map, stored in any orientation."""
    hu, labels = tiny_scan(seed)
    labels[~np.isin(labels, values)] = 0
    for name, array in {"ct": hu, "labels": labels}.items():
        image = nib.Nifti1Image(array, AFFINE)
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(AFFINE),
            nib.orientations.axcodes2ornt(orientation),
        )
        image = image.as_reoriented(turn)
        path = home / f"{name}.nii.gz"
        write_nifti(path, np.asarray(image.dataobj), image.affine)


def _experiment(
    root: Path,
    paths: dict[str, Path],
    splits: dict[str, dict[str, list[str]]],
    values: dict[str, dict[str, str]] | None = None,
    **sections: Any,
) -> Experiment:
    """Declare label-map databases and the split of their cases."""
    (root / "splits.json").write_text(json.dumps(splits))
    return tiny_experiment(
        root,
        root / "records",
        databases=[
            {
                "name": name,
                "layout": "label_map_folder",
                "path": str(path),
                "values": (values or {}).get(name, VALUES),
                "licence": "none",
                "citation": "none",
            }
            for name, path in paths.items()
        ],
        **sections,
    )


def check_database_is_the_declared_one(folder: Path) -> None:
    """Trap 5: 'pelvis' lies in abdomen/, its case is called abdomen_01."""
    paths = {"pelvis": folder / "abdomen", "abdomen": folder / "scans"}
    _write_case(paths["pelvis"] / "abdomen_01", 0, values=(1,))
    _write_case(paths["abdomen"] / "01", 1)
    experiment = _experiment(
        folder,
        paths,
        {"pelvis": {"train": ["abdomen_01"]}, "abdomen": {"train": ["01"]}},
        values={"pelvis": {"1": "bone"}},
    )
    space = label_space_of(experiment)
    # Records: what each case annotates. Candidates: what background may be.
    annotates = {"pelvis": ["bone"], "abdomen": ["bone", "left", "right"]}
    background = {"pelvis": ["left", "right"], "abdomen": []}
    records_dir = build_records(experiment)
    for name in paths:
        store = RecordStore(records_dir, name)
        (case,) = store.cases
        found = [space.names[i] for i in case.annotated.nonzero()[0]]
        assert (case.database, found[1:]) == (name, annotates[name]), (
            f"case {case.case} of '{name}' has the label set {found[1:]}"
        )
        batch = next(_patches(store, name, experiment))
        may_be = space.vector(["background", *background[name]])
        assert (batch["candidates"][:, 0] == may_be).all(), (
            f"open background of '{name}'"
        )


def _patches(
    store: RecordStore, name: str, experiment: Experiment
) -> Iterator[dict[str, np.ndarray]]:
    return build_training_dataset(
        {name: store},
        space=label_space_of(experiment),
        supervision={},
        weights={},
        label_share=0.5,
        patch_shape=(8, 8, 8),
        context_voxels=(0, 0, 0),
        augment={},
        hu_window=experiment.preprocess.hu_window,
        seed=0,
        start_step=0,
        rows=range(2),
        readers=1,
    ).as_numpy_iterator()


def _predicted(folder: Path, **options: Any) -> Experiment:
    """Three test cases with perfect predictions; 'part' has bone alone."""
    whole = ["f0", "f1"]
    for seed, case in enumerate(whole):
        _write_case(folder / "full" / case, seed)
    _write_case(folder / "part" / "p0", 2, values=(1,))
    for case in ("full/f0", "full/f1", "part/p0"):
        path = folder / "predictions" / f"{case}.nii.gz"
        write_nifti(path, tiny_scan(0)[1], AFFINE)
    return _experiment(
        folder,
        {"full": folder / "full", "part": folder / "part"},
        {"full": {"test": whole}, "part": {"test": ["p0"]}},
        values={"part": {"1": "bone"}},
        evaluate={"workers": 1} | options,
    )


def check_missing_prediction_is_refused(folder: Path) -> None:
    """Trap 7: unless asked for, no mean is made without a case."""
    experiment = _predicted(folder)
    (folder / "predictions/full/f1.nii.gz").unlink()
    fault = _fault(evaluate_predictions, experiment, folder / "predictions")
    assert "case 'full/f1'" in fault, "a missing prediction passes silently"


def check_missing_prediction_counts(folder: Path) -> None:
    """Trap 7: one perfect and one missing case have the mean 1/2."""
    experiment = _predicted(folder, missing="zero")
    (folder / "predictions/full/f1.nii.gz").unlink()
    table = evaluate_predictions(experiment, folder / "predictions")
    summary = table.summary("full")
    assert (summary.dice, summary.cases) == (0.5, 2), (
        f"the mean of 1 and a missing case is {summary.dice} over "
        f"{summary.cases} case(s)"
    )


def check_only_annotated_labels_are_averaged(folder: Path) -> None:
    """Trap 7: 'part' says nothing of left and right, which are predicted."""
    table = evaluate_predictions(_predicted(folder), folder / "predictions")
    labels = [score.label for score in table.scores if score.case == "p0"]
    assert labels == ["bone"], f"'part' annotates bone, scored are {labels}"
    assert table.summary().dice == 1.0


def _other_grids() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label maps that do not lie on the scan's grid, by what differs."""
    labels = tiny_scan(0)[1]
    moved, turned = AFFINE.copy(), AFFINE.copy()
    moved[0, 3] += SPACING_MM[0] / 2
    turned[0] *= -1
    return {
        "half a voxel": (labels, moved),
        "left for right": (labels, turned),
        "one slice less": (labels[..., :-1], AFFINE),
    }


def check_reference_grid(folder: Path) -> None:
    """Trap 8: a label map on another grid than its scan is refused."""
    _write_case(folder / "full/f0", 0)
    experiment = _experiment(folder, {"full": folder / "full"}, {})
    (database,) = experiment.databases
    space = label_space_of(experiment)
    (case,) = find_cases(database, space)
    read_case(case, database, space)
    for difference, (labels, affine) in _other_grids().items():
        write_nifti(folder / "full/f0/labels.nii.gz", labels, affine)
        fault = _fault(read_case, case, database, space)
        assert "labels.nii.gz" in fault, f"{difference}: reference accepted"


def check_prediction_grid(folder: Path) -> None:
    """Trap 8: a prediction on another grid than its scan is refused."""
    scan = folder / "full/f0/ct.nii.gz"
    _write_case(scan.parent, 0)
    space = label_space_of(_experiment(folder, {"full": folder / "full"}, {}))
    path = folder / "f0.nii.gz"
    for difference, (labels, affine) in _other_grids().items():
        write_nifti(path, labels, affine)
        fault = _fault(read_prediction, path, read_image(scan), scan, space)
        assert str(path) in fault, f"{difference}: prediction accepted"


def _check_copy(folder: Path, orientation: str) -> None:
    """One scan, a test case of one database, trains under another name."""
    _write_case(folder / "first/patient_7", 0)
    _write_case(folder / "second/scan_b", 0, orientation=orientation)
    experiment = _experiment(
        folder,
        {"first": folder / "first", "second": folder / "second"},
        {"first": {"test": ["patient_7"]}, "second": {"train": ["scan_b"]}},
    )
    fault = _fault(build_records, experiment)
    for case in ("first/patient_7", "second/scan_b"):
        assert case in fault, f"a copy stored as {orientation} is trained on"


def check_copy_of_a_test_scan(folder: Path) -> None:
    """Trap 9: the same voxels under another name."""
    _check_copy(folder, "RAS")


def check_turned_copy_of_a_test_scan(folder: Path) -> None:
    """Trap 9: the same scan with its axes in another order."""
    _check_copy(folder, "PLI")
