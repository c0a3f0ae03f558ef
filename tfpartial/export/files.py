"""The files of an export and their checksums: whole, or not loaded.

In: an export folder. Out: `files.json` in it; what labels.json says.

A SavedModel is a graph that runs. Only what an export wrote is handed to
TensorFlow: a missing, changed or added file is named instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfpartial.errors import Faults, InputError, shown
from tfpartial.files.safe_reading import file_hash, read_json

LABELS_FILE = "assets/labels.json"
FILE_LIST = "files.json"
REMEDY = "Copy the export again, or export the run again."


def write_file_list(folder: Path) -> None:
    """Write `files.json`: the sha256 of every other file of the folder."""
    hashes = {
        name: file_hash(folder / name)
        for name in _names(folder)
        if name != FILE_LIST
    }
    text = json.dumps({"sha256": hashes}, indent=1, sort_keys=True)
    (folder / FILE_LIST).write_text(text + "\n", encoding="utf-8")


def check_export(folder: str | Path) -> dict[str, Any]:
    """Compare an export with its list of files.

    Returns:
        What `assets/labels.json` says.

    Raises:
        InputError: no export there; every file that is missing, added or
            another than was written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected the folder of an export, found none. {REMEDY}"
        )
    listed = read_json(folder / FILE_LIST, "the list of an export", REMEDY)
    hashes = listed.get("sha256") if isinstance(listed, dict) else None
    if not isinstance(hashes, dict) or LABELS_FILE not in hashes:
        raise InputError(
            f"{folder / FILE_LIST}: expected the sha256 of every file, found "
            f"{shown(listed)}. {REMEDY}"
        )
    with Faults() as faults:
        present = _names(folder)
        for name in sorted({*hashes, *present} - {FILE_LIST}):
            found = "none"
            if name in present:
                path = folder / name
                is_plain = path.is_file() and not path.is_symlink()
                found = file_hash(path) if is_plain else "no plain file"
            expected = hashes.get(name, "no such file")
            if found != expected:
                faults.add(
                    f"{folder}: {shown(name)}: expected {shown(expected)}, as "
                    f"{FILE_LIST} says (sha256), found {found}. {REMEDY}"
                )
    about = read_json(folder / LABELS_FILE, "the labels of an export", REMEDY)
    if not isinstance(about, dict):
        raise InputError(
            f"{folder / LABELS_FILE}: expected a mapping, found "
            f"{shown(about)}. {REMEDY}"
        )
    return about


def _names(folder: Path) -> list[str]:
    """Return every file and link below a folder, as in the list."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
