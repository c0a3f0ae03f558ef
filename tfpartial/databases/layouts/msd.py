"""Layout msd: `training` of dataset.json lists {image, label} pairs.

In: a folder with dataset.json. Out: a source per case.
Source: dataset.json of the Medical Segmentation Decathlon.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from tfpartial.config.database import Database
from tfpartial.databases.layouts.base import Layout
from tfpartial.databases.layouts.dataset_json import (
    named_integers,
    read_dataset_json,
    refuse_channels,
)
from tfpartial.databases.sources import LabelMapFile, ScanSource
from tfpartial.errors import Faults, InputError, shown
from tfpartial.scans.formats import label_map_path, stem

EXAMPLE = label_map_path(Path(), "…")
MAX_CASES = 100_000
MAX_NAME_BYTES = 255  # of every file system; asking it for more is an error


def find(database: Database, faults: Faults) -> dict[str, ScanSource]:
    """Return case id -> source, in the order of `training`."""
    contents, where = read_dataset_json(database)
    integer_of = named_integers(database, contents, where, faults)
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
    pairs: list[tuple[Path, Path]] = []
    known: set[Path] = set()
    for position, entry in enumerate(entries):
        pair = _pair(entry, where.parent)
        if pair is None:
            faults.add(
                f"{where}: training[{position}]: expected "
                f'{{"image": "{EXAMPLE}", "label": "{EXAMPLE}"}} inside this '
                f"folder, found {shown(entry)}. Correct it."
            )
        elif pair[0] in known:
            faults.add(
                f"{where}: expected each case once, found "
                f"training[{position}]: {pair[0]} is listed twice. Keep one."
            )
        else:
            known.add(pair[0])
            pairs.append(pair)
    ids = _case_ids([image for image, _ in pairs], where.parent)
    return {
        case_id: LabelMapFile(image, label_map=label_map, integer_of=integer_of)
        for case_id, (image, label_map) in zip(ids, pairs, strict=True)
    }


def _case_ids(images: list[Path], root: Path) -> list[str]:
    """Return file names; where two are equal, folders and file names."""
    names = [stem(image.name) or "" for image in images]
    if len(set(names)) == len(names):
        return names
    folders = [image.parent.relative_to(root).parts for image in images]
    return [
        "_".join([*parts, name])
        for parts, name in zip(folders, names, strict=True)
    ]


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


LAYOUT = Layout("msd", find)
