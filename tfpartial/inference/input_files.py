"""Which scans are meant: files and folders -> scan files.

In: paths from the command line. Out: files, each once, or all the faults.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tfpartial.errors import Faults, join_names
from tfpartial.files.visible import visible_entries
from tfpartial.scans.formats import (
    is_scan,
    label_map_path,
    readable_kinds,
    stem,
)
from tfpartial.scans.formats.unread_images import unread_images

log = logging.getLogger(__name__)


def find_input_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the scans that are named, or directly in named folders.

    Hidden files are left out; images of a format that is not read are said.

    Raises:
        InputError: paths that do not exist or are of no known format, folders
            without a scan, links that lead nowhere, and files whose
            predictions would have one name; together.
    """
    paths: list[Path] = []
    with Faults() as faults:
        for path in map(Path, inputs):
            if path.is_dir() and not is_scan(path):
                paths += _scans_inside(path, faults)
            elif not path.exists():
                faults.add(f"{path}: expected a file or folder, found none.")
            elif not is_scan(path):
                faults.add(
                    f"{path}: expected {readable_kinds()}. Convert it first."
                )
            else:
                paths.append(path)
        paths = list(dict.fromkeys(paths))
        owners: dict[str, Path] = {}
        for path in paths:
            name = scan_name(path)
            owner = owners.setdefault(name, path)
            if owner != path:
                faults.add(
                    f"{owner} and {path}: both would be written as "
                    f"{label_map_path(Path(), name)}. Rename one, or predict "
                    f"them into different folders."
                )
        if not inputs:
            faults.add("inputs: expected scan files or folders, found none.")
    return paths


def scan_name(path: Path) -> str:
    """Return what the label map of a scan is called: its file name.

    Without nnU-Net's number of the channel: `case_0000` belongs to `case`.
    """
    name = stem(path.name) or ""
    return name.removesuffix("_0000") or name


def _scans_inside(folder: Path, faults: Faults) -> list[Path]:
    """Return the scans directly in a folder; say what is passed over."""
    entries = visible_entries(folder)
    scans = [path for path in entries if is_scan(path)]
    unread = unread_images(entries)
    found = f"images that are not read: {join_names(unread, 5)}"
    if unread and scans:
        log.warning("%s: passed over %s. Convert them.", folder, found)
    for path in entries:
        if path not in scans and stem(path.name) is not None:
            kind = "a folder" if path.is_dir() else "a link that leads nowhere"
            faults.add(
                f"{path}: expected {readable_kinds()}, found {kind}. Restore "
                f"the file, or remove what is there."
            )
            scans.append(path)
    if not scans:
        faults.add(
            f"{folder}: expected {readable_kinds()} directly in this folder, "
            f"found {found if unread else 'none'}. Convert the scans, or name "
            f"another folder."
        )
    return scans
