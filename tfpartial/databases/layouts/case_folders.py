"""Layouts label_map_folder and mask_folder: a folder per case.

In: a folder of folders. Out: `FoundFiles` per case, faults collected.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.databases.layouts.found_files import (
    FoundFiles,
    MissingFiles,
    keep_cases,
)
from tfpartial.errors import Faults, join_names


def find_case_folders(
    database: Database, root: Path, faults: Faults
) -> list[FoundFiles]:
    """A folder per case: the scan, and a label map or masks.

    The file names are the `image`, `label_map`, `mask` and `field_of_view`
    of the config. Files that these do not name are left alone, except masks
    of structures that `values` does not declare: a forgotten structure would
    silently be taught as background.
    """
    case_ids = [
        p.name for p in root.iterdir() if p.is_dir() and p.name[0] != "."
    ]
    missing = MissingFiles()
    undeclared: dict[str, list[Path]] = {}
    found = []
    for case_id in keep_cases(case_ids, database, faults):
        folder = root / case_id
        image_path = folder / database.image
        missing.expect("scan", image_path)
        field_of_view = None
        if database.field_of_view is not None:
            field_of_view = folder / database.field_of_view
            missing.expect("field of view", field_of_view)
        label_paths = _label_paths(folder, database, missing, undeclared)
        absent = (
            ()
            if None in label_paths
            else tuple(s for s in database.values if s not in label_paths)
        )
        found.append(
            FoundFiles(case_id, image_path, label_paths, absent, field_of_view)
        )
    missing.report(database, faults)
    _report_undeclared(undeclared, database, faults)
    return found


def _label_paths(
    folder: Path,
    database: Database,
    missing: MissingFiles,
    undeclared: dict[str, list[Path]],
) -> dict[str | None, Path]:
    """Return None -> label map, or each declared structure -> its mask."""
    if database.layout == "label_map_folder":
        path = folder / database.label_map
        missing.expect("label map", path)
        return {None: path}
    label_paths: dict[str | None, Path] = {}
    for structure, path in _masks(folder, database).items():
        if structure in database.values:
            label_paths[structure] = path
        else:
            undeclared.setdefault(structure, []).append(path)
    return label_paths


def _masks(folder: Path, database: Database) -> dict[str, Path]:
    """Return structure -> file, of every file whose name fits `mask`."""
    before, *rest = database.mask.split("{structure}")
    wild = "*".join(glob.escape(part) for part in (before, *rest))
    pattern = re.compile(
        re.escape(before)
        + r"(?P<structure>[^/]+)"
        + "(?P=structure)".join(re.escape(part) for part in rest)
    )
    # With masks beside the scan, `{structure}.nii.gz` fits these two as well.
    others = {database.image, database.field_of_view}
    masks = {}
    for path in sorted(folder.glob(wild)):
        name = path.relative_to(folder).as_posix()
        match = pattern.fullmatch(name)
        if match and name not in others and path.name[0] != ".":
            masks[match.group("structure")] = path
    return masks


def _report_undeclared(
    undeclared: dict[str, list[Path]], database: Database, faults: Faults
) -> None:
    """Add one fault per structure that `values` leaves out."""
    for structure, paths in sorted(undeclared.items()):
        faults.add(
            f"database '{database.name}': mask '{structure}' of "
            f"{len(paths)} case(s) is not declared under 'values': "
            f"{join_names(paths, 3)}. Map '{structure}' to a label, to "
            f"'ignore', or to 'background' (its file is then not used)."
        )
