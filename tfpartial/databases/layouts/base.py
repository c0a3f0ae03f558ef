"""What a folder layout is, and what several of them share.

In: a declared database. Out: the source of every case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.databases.sources import ScanSource
from tfpartial.errors import Faults
from tfpartial.files.visible import visible_entries
from tfpartial.scans.formats import stem

Finder = Callable[[Database, Faults], dict[str, ScanSource]]


@dataclass(frozen=True)
class Layout:
    """How the cases of a database lie in its folder.

    Attributes:
        name: `layout` of the config.
        find: database, faults -> case id -> its source, for every case, the
            excluded ones included; adds what is wrong with the folder itself.
            Its folder exists. Files need not: `find_cases` names those that
            are missing.
        fields: of `Database`, which do something in this layout and not in
            every other.
    """

    name: str
    find: Finder
    fields: frozenset[str] = frozenset()


def visible_files(folder: Path) -> list[Path]:
    """Return what stands for a file in a folder, sorted, hidden ones not.

    A link that leads nowhere and a folder that is called like a scan do: their
    case must not vanish.
    """
    return [
        path
        for path in visible_entries(folder)
        if not path.is_dir() or stem(path.name) is not None
    ]


def case_folders(database: Database) -> Iterator[tuple[Path, Path | None]]:
    """Yield the folder of each case, its name the id, and field of view."""
    for folder in visible_entries(Path(database.path)):
        # A link that leads nowhere was a case once.
        if folder.is_dir() or not folder.exists():
            view = database.field_of_view
            yield folder, None if view is None else folder / view
