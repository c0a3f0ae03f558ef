"""Layout nnunet_raw: imagesTr/<case>_0000 and labelsTr/<case>, one ending.

In: a folder with dataset.json. Out: a source per case.
Source: nnU-Net documentation/dataset_format.md (version 2).
"""

from __future__ import annotations

import re
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.databases.layouts.base import Layout, visible_files
from tfpartial.databases.layouts.dataset_json import (
    named_integers,
    read_dataset_json,
    refuse_channels,
)
from tfpartial.databases.sources import LabelMapFile, ScanSource
from tfpartial.errors import Faults, InputError, shown
from tfpartial.scans.formats import known_endings


def find(database: Database, faults: Faults) -> dict[str, ScanSource]:
    """Return case id -> source, for every scan and every label map."""
    root = Path(database.path)
    contents, where = read_dataset_json(database)
    integer_of = named_integers(database, contents, where, faults)
    refuse_channels(contents.get("channel_names"), where)
    ending = contents.get("file_ending", known_endings()[0])
    if ending not in known_endings():
        raise InputError(
            f"{where}: 'file_ending': expected one of "
            f"{', '.join(known_endings())}, found {shown(ending)}. Convert "
            f"the scans."
        )
    scans = _scans(root / "imagesTr", ending, faults)
    stated = contents.get("numTraining")
    # An excluded case may be there, or be gone.
    fewest, most = (
        len(scans.difference(database.exclude)),
        len(scans.union(database.exclude)),
    )
    number = int(str(stated)) if re.fullmatch("[0-9]{1,9}", str(stated)) else -1
    if stated is not None and not fewest <= number <= most:
        faults.add(
            f"{where}: 'numTraining': expected {shown(stated)} cases, found "
            f"{len(scans)} in {root / 'imagesTr'}. Restore the scans, or "
            f"correct the number."
        )
    label_maps = {
        path.name[: -len(ending)]
        for path in visible_files(root / "labelsTr")
        if path.name.endswith(ending)
    }
    return {
        case_id: LabelMapFile(
            root / "imagesTr" / f"{case_id}_0000{ending}",
            label_map=root / "labelsTr" / f"{case_id}{ending}",
            integer_of=integer_of,
        )
        for case_id in sorted(scans | label_maps)
    }


def _scans(folder: Path, ending: str, faults: Faults) -> set[str]:
    """Return the ids of all scans; refuse other channels and other names."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder of scans, found none. Restore it, or "
            "correct 'path' or 'layout'."
        )
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    scans = set()
    for path in visible_files(folder):
        match = pattern.fullmatch(path.name)
        if match is None:
            faults.add(
                f"{path}: expected a name such as <case>_0000{ending}, found "
                f"'{path.name}'. Rename it, or move it out of imagesTr."
            )
        elif match.group(2) != "0000":
            faults.add(
                f"{path}: expected one channel (_0000), found channel "
                f"_{match.group(2)}. Only single-channel CT is read. Remove it."
            )
        else:
            scans.add(match.group(1))
    return scans


LAYOUT = Layout("nnunet_raw", find)
