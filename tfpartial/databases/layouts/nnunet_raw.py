"""Layout nnunet_raw: imagesTr/<case>_0000.nii.gz, labelsTr/<case>.nii.gz.

In: a folder with dataset.json. Out: `FoundFiles` per case, faults collected.
Source: nnU-Net documentation/dataset_format.md (version 2).
"""

from __future__ import annotations

import re
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.databases.layouts.dataset_json import (
    dataset_json_path,
    read_dataset_json,
    refuse_channels,
)
from tfpartial.databases.layouts.found_files import (
    FoundFiles,
    MissingFiles,
    keep_cases,
    visible_files,
)
from tfpartial.errors import Faults, InputError, join_names, shown
from tfpartial.scans.formats import known_endings


def find_nnunet_raw(
    database: Database, root: Path, faults: Faults
) -> list[FoundFiles]:
    """imagesTr/<case>_0000<ending> and labelsTr/<case><ending>."""
    contents = read_dataset_json(database)
    where = dataset_json_path(database)
    refuse_channels(contents.get("channel_names"), where)
    ending = contents.get("file_ending", known_endings()[0])
    if ending not in known_endings():
        raise InputError(
            f"{where}: 'file_ending': expected one of "
            f"{', '.join(known_endings())}, found {shown(ending)}. Convert "
            f"the scans."
        )
    images = _images(root / "imagesTr", ending, faults)
    stated = contents.get("numTraining")
    if stated is not None and stated != len(images):
        faults.add(
            f"{where}: 'numTraining': expected {shown(stated)} cases, found "
            f"{len(images)} in {root / 'imagesTr'}. Restore the scans, or "
            f"correct the number."
        )
    labels = {
        path.name[: -len(ending)]
        for path in visible_files(root / "labelsTr")
        if path.name.endswith(ending)
    }
    _refuse_orphans(labels - images.keys(), database, faults)
    missing = MissingFiles()
    found = []
    for case_id in keep_cases(images.keys() | labels, database, faults):
        if case_id not in images:
            continue
        label_path = root / "labelsTr" / f"{case_id}{ending}"
        missing.expect("label map", label_path)
        found.append(FoundFiles(case_id, images[case_id], {None: label_path}))
    missing.report(database, faults)
    return found


def _refuse_orphans(
    without_scan: set[str], database: Database, faults: Faults
) -> None:
    """Add a fault if label maps that are not excluded have no scan."""
    orphans = sorted(without_scan - set(database.exclude))
    if orphans:
        faults.add(
            f"{Path(database.path) / 'labelsTr'}: {len(orphans)} label map(s) "
            f"without a scan in imagesTr: {join_names(orphans)}. Restore the "
            f"scans, or list the cases under 'exclude'."
        )


def _images(folder: Path, ending: str, faults: Faults) -> dict[str, Path]:
    """Return case id -> scan; refuse other channels and other names."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder of scans, found none. Restore it, or "
            "correct 'path' or 'layout'."
        )
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    images: dict[str, Path] = {}
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
            images[match.group(1)] = path
    return images
