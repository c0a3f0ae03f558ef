"""Layout mask_folder: a folder per case with a scan and a mask per structure.

In: a folder of folders. Out: a source per case. The file names are `image`,
`mask` and `field_of_view` of the config; files that these do not name are
left alone.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from tfpartial.config.database import Database, composed
from tfpartial.databases.layouts.base import (
    Layout,
    case_folders,
    find_file,
    one_of,
    without_ending,
)
from tfpartial.databases.sources import MaskFiles, ScanSource
from tfpartial.errors import Faults
from tfpartial.scans.formats import stem
from tfpartial.scans.formats.unread_images import image_stem


def find(database: Database, faults: Faults) -> dict[str, ScanSource]:
    """Return case id -> source."""
    sources: dict[str, ScanSource] = {}
    for folder, field_of_view, own in case_folders(database, faults):
        masks = _masks(folder, database, own)
        undeclared = {k: masks[k] for k in masks if k not in database.values}
        # What means background needs no file, as under `values`.
        others = undeclared if database.others != "background" else {}
        sources[composed(folder.name)] = MaskFiles(
            find_file(folder, database.image, own),
            masks={k: p for k, p in masks.items() if k in database.values},
            others={} if database.others is None else others,
            absent=_absent(folder, database, masks),
            undeclared=undeclared,
            field_of_view=field_of_view,
        )
    return sources


def _masks(folder: Path, database: Database, faults: Faults) -> dict[str, Path]:
    """Return structure -> file, of every file whose name fits `mask`."""
    before, *rest = without_ending(database.mask).split("{structure}")
    wild = "*".join(glob.escape(part) for part in (before, *rest))
    pattern = re.compile(
        re.escape(before)
        + r"(?P<structure>[^/]+)"
        + "(?P=structure)".join(re.escape(part) for part in rest)
    )
    # With masks beside the scan, {structure} fits these two names as well.
    others = [n for n in (database.image, database.field_of_view) if n]
    taken = set(map(without_ending, others))
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{wild}.*")):
        name = without_ending(path.relative_to(folder).as_posix())
        match = pattern.fullmatch(name)
        known = stem(path.name) is not None and path.name[0] != "."
        if match and known and name not in taken:
            found.setdefault(match.group("structure"), []).append(path)
    masks = {}
    for structure, paths in found.items():
        as_declared = folder / database.mask.replace("{structure}", structure)
        chosen = [p for p in paths if p == as_declared] or paths
        masks[structure] = one_of(chosen, faults) or as_declared
    return masks


def _absent(
    folder: Path, database: Database, masks: Mapping[str, Path]
) -> dict[str, Path | None]:
    """Return structure without a mask -> an image that seems to be it.

    One of its name in another folder, in other letters or of a format that is
    not read: it must not be taken for absent.
    """
    absent = [key for key in database.values if key not in masks]
    named: dict[str, Path] = {}
    pattern = PurePath(without_ending(database.mask))
    by_folder = "{structure}" not in pattern.name
    for path in sorted(folder.rglob("*")) if absent else ():
        name = image_stem(path.name)
        if name and path.name[0] != ".":
            name = path.parent.name if by_folder else name
            named.setdefault(name.casefold(), path)
    part = pattern.parent.name if by_folder else pattern.name
    return {
        key: named.get(part.replace("{structure}", key).casefold())
        for key in absent
    }


LAYOUT = Layout(
    "mask_folder",
    find,
    fields=frozenset(
        {"image", "mask", "absent_mask", "priority", "field_of_view"}
    ),
)
