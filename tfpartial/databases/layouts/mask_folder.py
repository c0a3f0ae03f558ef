"""Layout mask_folder: a folder per case with a scan and a mask per structure.

In: a folder of folders. Out: a source per case. The file names are `image`,
`mask` and `field_of_view` of the config; files that these do not name are
left alone.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.databases.layouts.base import Layout, case_folders
from tfpartial.databases.sources import MaskFiles, ScanSource
from tfpartial.errors import Faults


def find(database: Database, _: Faults) -> dict[str, ScanSource]:
    """Return case id -> source."""
    sources: dict[str, ScanSource] = {}
    for folder, field_of_view in case_folders(database):
        masks = _masks(folder, database)
        undeclared = {k: masks[k] for k in masks if k not in database.values}
        # What means background needs no file, as under `values`.
        others = undeclared if database.others != "background" else {}
        sources[folder.name] = MaskFiles(
            folder / database.image,
            masks={k: p for k, p in masks.items() if k in database.values},
            others={} if database.others is None else others,
            absent=tuple(k for k in database.values if k not in masks),
            undeclared=undeclared,
            field_of_view=field_of_view,
        )
    return sources


def _masks(folder: Path, database: Database) -> dict[str, Path]:
    """Return structure -> file, of every file whose name fits `mask`."""
    before, *rest = database.mask.split("{structure}")
    wild = "*".join(glob.escape(part) for part in (before, *rest))
    pattern = re.compile(
        re.escape(before)
        + r"(?P<structure>[^/]+)"
        + "(?P=structure)".join(re.escape(part) for part in rest)
    )
    # With masks beside the scan, {structure} fits these two names as well.
    others = {database.image, database.field_of_view}
    masks = {}
    for path in sorted(folder.glob(wild)):
        name = path.relative_to(folder).as_posix()
        match = pattern.fullmatch(name)
        if match and name not in others and path.name[0] != ".":
            masks[match.group("structure")] = path
    return masks


LAYOUT = Layout(
    "mask_folder",
    find,
    fields=frozenset(
        {"image", "mask", "absent_mask", "priority", "field_of_view"}
    ),
)
