"""The files of one case, and what every layout checks about them.

In: case ids and paths of a layout. Out: `FoundFiles`; faults in a collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tfpartial.config.database import Database
from tfpartial.errors import Faults, did_you_mean, join_names


@dataclass(frozen=True)
class FoundFiles:
    """The files of one case.

    Attributes:
        case_id: name of the case in its database.
        image_path: the scan.
        label_paths: structure -> its mask; None -> the label map.
        absent: declared structures that have no mask file.
        field_of_view_path: mask of what was annotated, if declared.
    """

    case_id: str
    image_path: Path
    label_paths: dict[str | None, Path]
    absent: tuple[str, ...] = ()
    field_of_view_path: Path | None = None


@dataclass
class MissingFiles:
    """Files that cases lack, gathered into one sentence per kind."""

    paths: dict[str, list[Path]] = field(default_factory=dict)

    def expect(self, kind: str, path: Path) -> None:
        """Remember a path that is no file."""
        if not path.is_file():
            self.paths.setdefault(kind, []).append(path)

    def report(self, database: Database, faults: Faults) -> None:
        """Add one fault per kind of file."""
        for kind, paths in self.paths.items():
            faults.add(
                f"database '{database.name}': expected a {kind} in every case, "
                f"{kind} not found for {len(paths)} case(s): "
                f"{join_names(paths)}. Restore the "
                f"file(s), or list the case(s) under 'exclude'."
            )


def keep_cases(
    case_ids: Iterable[str], database: Database, faults: Faults
) -> list[str]:
    """Return case ids without the excluded; refuse declared unknown ids."""
    known = sorted(case_ids)
    present = set(known)
    for name, ids in (
        ("exclude", database.exclude),
        ("cases", list(database.cases)),
    ):
        for case_id in ids:
            if case_id not in present:
                faults.add(
                    f"database '{database.name}': '{name}' names case "
                    f"'{case_id}', which {database.path} does not contain."
                    + did_you_mean(case_id, known)
                    + " Correct the id, or remove it."
                )
    excluded = set(database.exclude)
    kept = [c for c in known if c not in excluded]
    if not kept:
        faults.add(
            f"database '{database.name}': expected cases of layout "
            f"'{database.layout}', found that {database.path} holds no case"
            + (" that is not excluded." if known else ".")
            + " Correct 'path' or 'layout'."
        )
    return kept


def visible_files(folder: Path) -> list[Path]:
    """Return a folder's files without hidden ones, sorted."""
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if p.is_file() and p.name[0] != "."
    )
