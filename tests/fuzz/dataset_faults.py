"""dataset.json of nnU-Net and MSD folders, and the file of splits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz import nifti_faults
from fuzz.corpus import Fault, Mutate, Reader
from fuzz.documents import json_faults
from tfpartial.config import Database
from tfpartial.config.experiment import Splits
from tfpartial.databases import cases_of_split, find_cases, read_case
from tfpartial.errors import Faults

CASES = ("anna_1", "ben_1", "carla_1")
SPLITS = {
    "clinic": {
        "train": ["anna_1"],
        "validation": ["ben_1"],
        "test": ["carla_1"],
    }
}


def prepare(folder: Path) -> None:
    """Write one folder that both layouts describe, and splits."""
    nifti_faults.prepare(folder)
    source = folder / "scans" / "case_1"
    for layout in ("nnunet_raw", "msd"):
        root = folder / layout
        for case in CASES:
            channel = "_0000" if layout == "nnunet_raw" else ""
            for name, kind, ending in (
                ("ct.nii.gz", "imagesTr", channel),
                ("labels.nii.gz", "labelsTr", ""),
            ):
                target = root / kind / f"{case}{ending}.nii.gz"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((source / name).read_bytes())
        (root / "dataset.json").write_text(json.dumps(_dataset(layout)))
    (folder / "splits.json").write_text(json.dumps(SPLITS))


def _dataset(layout: str) -> dict[str, Any]:
    if layout == "nnunet_raw":
        return {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "liver": 1, "spleen": 2},
            "numTraining": len(CASES),
            "file_ending": ".nii.gz",
        }
    return {
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "spleen"},
        "training": [
            {
                "image": f"./imagesTr/{case}.nii.gz",
                "label": f"./labelsTr/{case}.nii.gz",
            }
            for case in CASES
        ],
    }


def _database(folder: Path, layout: str) -> Database:
    return Database(
        name="clinic",
        layout=layout,
        path=str(folder / layout),
        values={"liver": "liver", "spleen": "spleen"},
        licence="none",
        citation="none",
    )


def reader_of(layout: str) -> Callable[[Path], Any]:
    """Return what reads every case of a layout."""

    def read(folder: Path) -> list[Any]:
        database = _database(folder, layout)
        cases = find_cases(database, nifti_faults.SPACE)
        found = []
        with Faults() as faults:
            for case in cases:
                try:
                    image, stored = read_case(
                        case, database, nifti_faults.SPACE
                    )
                except ValueError as error:
                    faults.add(error)  # an InputError; others are tracebacks
                    continue
                found.append((case.case_id, image.array, stored.array))
        return found

    return read


def read_splits(folder: Path) -> dict[str, list[str]]:
    """Return the cases of every split, as the predictor asks for them."""
    database = _database(folder, "nnunet_raw")
    splits = Splits(file=str(folder / "splits.json"))
    return {
        split: [
            case.case_id
            for case in cases_of_split(
                [database], nifti_faults.SPACE, splits, split
            )
        ]
        for split in ("train", "validation", "test")
    }


def _edit(
    name: str, change: Callable[[dict[str, Any], random.Random], None]
) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = folder / name
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document, draw)
        path.write_text(json.dumps(document), encoding="utf-8")
        return (path.name, path.parent.name)

    return mutate


def _traversal(document: dict[str, Any], draw: random.Random) -> None:
    entry = draw.choice(document["training"])
    entry[draw.choice(["image", "label"])] = draw.choice(
        ["../msd/imagesTr/anna_1.nii.gz", "/etc/hostname.nii.gz",
         "imagesTr/../../scans/case_1/ct.nii.gz", "a\0b.nii.gz",
         "x" * 300 + ".nii.gz", "../" * 40 + "etc/passwd.nii.gz", ".nii.gz"]
    )  # fmt: skip


def _labels(document: dict[str, Any], draw: random.Random) -> None:
    document["labels"] = draw.choice(
        [{"0": "0", "1": "1", "2": "2"}, {"liver": "spleen"},
         {"background": 0, "liver": 1, "spleen": 1},
         {"background": 0, "liver": 1, "spleen": 2, "kidney": 3},
         {"background": 0, "liver": 1.5}, {"liver": [1, "a"]},
         {str(n): f"name {n}" for n in range(5000)},
         {"background": 0, "liver": "9" * 30, "spleen": 2}]
    )  # fmt: skip


def _count(document: dict[str, Any], draw: random.Random) -> None:
    document["numTraining"] = draw.choice([0, 2, 4, -3, 10**9, "3", 3.5])


def _ending(document: dict[str, Any], draw: random.Random) -> None:
    document["file_ending"] = draw.choice(
        [".nrrd", ".nii", "", "/", "../x.nii.gz", ".*", "\0", "x" * 5000]
    )


def _channels(document: dict[str, Any], draw: random.Random) -> None:
    key = "channel_names" if "channel_names" in document else "modality"
    document[key] = {str(n): "MR" for n in range(draw.randint(2, 500))}


def _repeated(document: dict[str, Any], draw: random.Random) -> None:
    document["training"].append(draw.choice(document["training"]))


def _many(document: dict[str, Any], draw: random.Random) -> None:
    wrong = draw.choice(
        [
            None,
            {"image": "a.nii.gz"},
            {"image": 1, "label": 2},
            {"image": "b.nii.gz", "label": "c.nii.gz"},
        ]
    )
    document["training"] += [wrong] * draw.choice([3, 50_000, 150_000])


def _unknown_case(document: dict[str, Any], draw: random.Random) -> None:
    name = draw.choice(["nobody", "", "carla_1", "../x"])
    document["clinic"]["train"].append(name)


def _unlisted(document: dict[str, Any], draw: random.Random) -> None:
    document["clinic"][draw.choice(["train", "validation", "test"])] = []


def _misspelt(document: dict[str, Any], draw: random.Random) -> None:
    if draw.random() < 0.5:
        document["klinic"] = document.pop("clinic")
    else:
        sides = document["clinic"]
        sides[draw.choice(["training", "val", "Test"])] = sides.pop("test")


READERS = (
    Reader(
        "dataset.json (nnU-Net)",
        prepare,
        reader_of("nnunet_raw"),
        (
            *json_faults(lambda folder: folder / "nnunet_raw/dataset.json"),
            Fault("labels", _edit("nnunet_raw/dataset.json", _labels)),
            Fault("number of cases", _edit("nnunet_raw/dataset.json", _count)),
            Fault("file ending", _edit("nnunet_raw/dataset.json", _ending)),
            Fault("channels", _edit("nnunet_raw/dataset.json", _channels)),
        ),
    ),
    Reader(
        "dataset.json (MSD)",
        prepare,
        reader_of("msd"),
        (
            *json_faults(lambda folder: folder / "msd/dataset.json"),
            Fault("labels", _edit("msd/dataset.json", _labels)),
            Fault("path traversal", _edit("msd/dataset.json", _traversal)),
            Fault("channels", _edit("msd/dataset.json", _channels)),
            Fault("case listed twice", _edit("msd/dataset.json", _repeated)),
            Fault("many wrong entries", _edit("msd/dataset.json", _many)),
        ),
    ),
    Reader(
        "splits file",
        prepare,
        read_splits,
        (
            *json_faults(lambda folder: folder / "splits.json"),
            Fault("unknown case", _edit("splits.json", _unknown_case)),
            Fault("case not listed", _edit("splits.json", _unlisted)),
            Fault("misspelt name", _edit("splits.json", _misspelt)),
        ),
    ),
)
