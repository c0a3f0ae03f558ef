"""The three real databases (skipped without TFPARTIAL_OPENKBP)."""

import os
from pathlib import Path

import numpy as np
import pytest

from tfpartial.config.database import Database
from tfpartial.config.experiment import Splits
from tfpartial.databases import (
    exact_hash,
    find_cases,
    read_case,
    split_cases,
    stored_values,
)
from tfpartial.labels import Label, LabelSpace

ROOT = os.environ.get("TFPARTIAL_OPENKBP")
pytestmark = pytest.mark.skipif(
    ROOT is None, reason="TFPARTIAL_OPENKBP does not name the real scans"
)

NAMES = (
    "Brainstem",
    "SpinalCord",
    "RightParotid",
    "LeftParotid",
    "Esophagus",
    "Larynx",
    "Mandible",
)
SPACE = LabelSpace(tuple(Label(name) for name in NAMES))
DECLARED = {
    "db1": ("nnunet_raw", {name: name for name in NAMES}, 36, set(NAMES)),
    "db2": (
        "label_map_folder",
        {
            10: "SpinalCord",
            20: "Brainstem",
            31: "LeftParotid",
            32: "RightParotid",
        },
        34,
        set(NAMES[:4]),
    ),
    "db3": (
        "mask_folder",
        {
            "brainstem": "Brainstem",
            "spinal_cord": "SpinalCord",
            "mandible": "Mandible",
            "parotid_glands": ["LeftParotid", "RightParotid"],
        },
        36,
        {*NAMES[:4], "Mandible"},
    ),
}


def declare(name):
    layout, values, _, _ = DECLARED[name]
    return Database(
        name=name,
        path=str(Path(ROOT) / "openkbp" / name),
        layout=layout,
        values=values,
        licence="MIT",
        citation="OpenKBP",
    )


@pytest.mark.parametrize("name", DECLARED)
def test_cases_and_label_sets(name):
    _, values, count, annotated = DECLARED[name]
    database = declare(name)
    cases = find_cases(database, SPACE)
    assert len(cases) == count
    for case in cases:
        named = {SPACE.names[i] for i in np.flatnonzero(case.annotated)}
        assert named == {"background", *annotated}
    image, stored = read_case(cases[0], database, SPACE)
    assert image.array.shape == stored.array.shape
    present = set(np.unique(stored.array).tolist())
    assert present <= set(range(len(values) + 1))
    assert len(present) > 1
    # Parotids are some 10 to 60 ml each; a wrong code would be far off.
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    code = stored_values(database, SPACE).code_of[
        {"db1": "LeftParotid", "db2": "31", "db3": "parotid_glands"}[name]
    ]
    assert 5 < (stored.array == code).sum() * voxel_ml < 120


def test_the_file_of_splits():
    patients = {
        name: {c.case_id: c.patient_id for c in find_cases(database, SPACE)}
        for name, database in ((name, declare(name)) for name in DECLARED)
    }
    assignment = split_cases(
        patients,
        Splits(
            file=str(Path(ROOT) / "openkbp" / "splits.json"),
            validation_cases={"db1": ["KBP_017"]},
        ),
    )
    sides = [side for (name, _), side in assignment.items() if name == "db1"]
    assert sides.count("train") == 20 - 1
    assert sides.count("validation") == 1
    assert sides.count("test") == 16
    assert assignment["db1", "KBP_013"] == "test"
    assert assignment["db2", "pt_11"] == "train"


def test_the_databases_share_no_first_scan():
    hashes = set()
    for name in DECLARED:
        database = declare(name)
        case = find_cases(database, SPACE)[0]
        hashes.add(exact_hash(read_case(case, database, SPACE)[0]))
    assert len(hashes) == len(DECLARED)
