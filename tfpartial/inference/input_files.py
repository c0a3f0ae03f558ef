"""Which scans are meant: files and folders -> scan files.

In: paths from the command line. Out: files, each once, or all the faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfpartial.errors import Faults
from tfpartial.scans.formats import (
    is_scan,
    label_map_path,
    readable_kinds,
    stem,
)


def find_input_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the scans that are named, or directly in named folders.

    Raises:
        InputError: paths that do not exist or are of no known format, folders
            without a scan, and files whose predictions would have one name;
            together.
    """
    paths: list[Path] = []
    with Faults() as faults:
        for path in map(Path, inputs):
            if path.is_dir():
                inside = [p for p in sorted(path.iterdir()) if is_scan(p)]
                if not inside:
                    faults.add(
                        f"{path}: expected {readable_kinds()} directly in this "
                        f"folder, found none."
                    )
                paths += inside
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
            name = stem(path.name) or ""
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
