"""What a folder layout is, and what several of them share.

In: a declared database. Out: the source of every case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tfpartial.config.database import Database, composed
from tfpartial.databases.sources import ScanSource
from tfpartial.errors import Faults, join_names
from tfpartial.files.visible import visible_entries
from tfpartial.scans.formats import is_scan, label_map_path, stem

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


def case_folders(
    database: Database, faults: Faults
) -> Iterator[tuple[Path, Path | None, Faults]]:
    """Yield the folder of each case, its name the id, and field of view.

    And where the case's faults go: those of excluded ones nowhere.
    """
    for folder in visible_entries(Path(database.path)):
        # A link that leads nowhere was a case once.
        if folder.is_dir() or not folder.exists():
            own = (
                Faults()
                if composed(folder.name) in database.exclude
                else faults
            )
            name = database.field_of_view
            view = None if name is None else find_file(folder, name, own)
            yield folder, view, own


def without_ending(name: str) -> str:
    """Return a declared name, such as 'masks/a.nii', without its ending."""
    path = PurePath(composed(name))
    return path.with_name(stem(path.name) or path.name).as_posix()


def find_file(folder: Path, name: str, faults: Faults) -> Path:
    """Return the file of a declared name: with its ending, or with another.

    Where there is none, the path that it would have.
    """
    path = folder / name
    base = folder / without_ending(name)
    if path.name != base.name and (path.exists() or path.is_symlink()):
        return path
    if is_scan(path):
        return path
    found = [
        path
        for path in visible_files(base.parent)
        if composed(stem(path.name) or "") == base.name
    ]
    return one_of(found, faults) or label_map_path(base.parent, base.name)


def one_of(paths: Sequence[Path], faults: Faults) -> Path | None:
    """Return the first of files that differ in their endings: the only one."""
    if len(paths) > 1:
        faults.add(
            f"{paths[0]}: expected one file of this name, found several that "
            f"differ in their endings: {join_names(p.name for p in paths)}. "
            f"Remove one, or declare the name with its ending."
        )
    return paths[0] if paths else None
