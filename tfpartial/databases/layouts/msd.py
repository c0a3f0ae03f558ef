"""Layout msd: `training` of dataset.json lists {image, label} pairs.

In: a folder with dataset.json. Out: `FoundFiles` per case, faults collected.
Source: dataset.json of the Medical Segmentation Decathlon.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath

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
)
from tfpartial.errors import Faults, InputError, shown
from tfpartial.scans.formats import label_map_path, stem

EXAMPLE = label_map_path(Path(), "…")
MAX_CASES = 100_000
MAX_NAME_BYTES = 255  # of every file system; asking it for more is an error


def find_msd(
    database: Database, root: Path, faults: Faults
) -> list[FoundFiles]:
    """`training` of dataset.json: a list of {image, label}."""
    contents = read_dataset_json(database)
    where = dataset_json_path(database)
    refuse_channels(contents.get("modality"), where)
    entries = contents.get("training")
    if not isinstance(entries, list):
        raise InputError(
            f"{where}: expected 'training' to be a list of "
            f"{{image, label}}, found {type(entries).__name__}. Correct it."
        )
    if len(entries) > MAX_CASES:
        raise InputError(
            f"{where}: expected at most {MAX_CASES} entries in 'training', "
            f"found {len(entries)}. Split the database."
        )
    pairs: dict[str, tuple[Path, Path]] = {}
    for position, entry in enumerate(entries):
        pair = _pair(entry, root)
        if pair is None:
            faults.add(
                f"{where}: training[{position}]: expected "
                f'{{"image": "{EXAMPLE}", "label": "{EXAMPLE}"}} inside this '
                f"folder, found {shown(entry)}. Correct it."
            )
            continue
        case_id = stem(pair[0].name) or ""
        if case_id in pairs:
            faults.add(
                f"{where}: expected each case once, found "
                f"training[{position}]: case '{case_id}' is listed twice "
                f"({pairs[case_id][0]} and {pair[0]}). Keep one."
            )
        pairs[case_id] = pair
    missing = MissingFiles()
    found = []
    for case_id in keep_cases(pairs, database, faults):
        image_path, label_path = pairs[case_id]
        missing.expect("scan", image_path)
        missing.expect("label map", label_path)
        found.append(FoundFiles(case_id, image_path, {None: label_path}))
    missing.report(database, faults)
    return found


def _pair(entry: object, root: Path) -> tuple[Path, Path] | None:
    """Return the paths of one training entry, or None if it is malformed."""
    if not isinstance(entry, dict):
        return None
    names = entry.get("image"), entry.get("label")
    if not all(isinstance(n, str) and stem(Path(n).name) for n in names):
        return None
    # MSD writes "./imagesTr/…"; messages are easier without the dot.
    image, label = (os.path.normpath(str(n)) for n in names)
    if not all(map(_is_inside, (image, label))):
        return None
    return root / image, root / label


def _is_inside(name: str) -> bool:
    """Tell whether a normalised path stays in the folder it is relative to."""
    path = PurePath(name)
    return not (path.is_absolute() or ".." in path.parts or "\0" in name) and (
        max(len(os.fsencode(part)) for part in path.parts) <= MAX_NAME_BYTES
    )
