"""The records folder: whose it is, who is writing, what lies where.

In: an `Experiment`. Out: an opened folder, locked against a second build.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfpartial.errors import InputError, shown
from tfpartial.files.folder_lock import waiting_lock
from tfpartial.files.safe_reading import read_json
from tfpartial.files.whole_file import write_whole
from tfpartial.labels import LabelSpace
from tfpartial.records.schema import SCHEMA_VERSION

PROJECT_FILE = "project.json"
WORK_FOLDER = ".work"
LOG_FILE = "build.log"
# Not the ".lock" of a run or a table, which may be the same folder.
_LOCK = ".build.lock"
# What a folder holds.
BUILT, PSEUDO_LABELLED = "built", "pseudo-labelled"
_ELSEWHERE = (
    "Choose another records_dir, or delete this one if nothing needs it."
)

log = logging.getLogger(__name__)


@contextmanager
def open_records_folder(
    records_dir: Path, space: LabelSpace, content: str = BUILT
) -> Iterator[Path]:
    """Make or open the folder for one build; a second one waits.

    Trainings on the same records begin by building them: the second finds
    them up to date.

    Args:
        records_dir: the folder.
        space: its label space.
        content: `BUILT` or `PSEUDO_LABELLED`; one never replaces the other.

    Yields:
        The work folder inside it; removed at the end when it is empty.

    Raises:
        InputError: the folder holds something else, or records of another
            label space.
    """
    check_records_folder(records_dir, space, content)
    records_dir.mkdir(parents=True, exist_ok=True)
    with waiting_lock(records_dir / _LOCK, records_dir, "another build"):
        # The one before may have been of another experiment.
        check_records_folder(records_dir, space, content)
        marker = records_dir / PROJECT_FILE
        if not marker.is_file():
            project = _project(space, content)
            write_whole(marker, json.dumps(project, indent=2) + "\n")
        work = records_dir / WORK_FOLDER
        work.mkdir(exist_ok=True)
        yield work
        if not any(work.iterdir()):
            work.rmdir()


def write_log(records_dir: Path, message: str) -> None:
    """Append a line with the time (UTC) to build.log."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with (records_dir / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(f"{time} {message}\n")


def content_of(records_dir: Path) -> str | None:
    """Return what a records folder holds; None if it is none."""
    try:
        project = read_json(records_dir / PROJECT_FILE, "a project", "")
        return project["content"]
    except (InputError, KeyError, TypeError):
        return None


def check_records_folder(
    records_dir: Path, space: LabelSpace, content: str = BUILT
) -> None:
    """Check that records may be written to a folder; nothing is changed.

    Raises:
        InputError: as `open_records_folder`.
    """
    marker = records_dir / PROJECT_FILE
    if marker.is_file():
        _check_project(marker, _project(space, content))
        return
    if records_dir.is_file():
        raise InputError(
            f"records_dir {records_dir}: expected a folder, found a file. "
            + _ELSEWHERE
        )
    # A call that was killed while it claimed the folder leaves its draft.
    ours = (_LOCK, f".{PROJECT_FILE}.")
    foreign = sorted(
        path.name
        for path in records_dir.glob("*")
        if not path.name.startswith(ours)
    )
    if foreign:
        listed = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise InputError(
            f"records_dir {records_dir}: expected an empty folder or records "
            f"(with {PROJECT_FILE}), found {listed}. {_ELSEWHERE}"
        )


def _project(space: LabelSpace, content: str) -> dict[str, Any]:
    """Return project.json, which says whose folder it is."""
    return {
        "format": "tfpartial records",
        "schema_version": SCHEMA_VERSION,
        "label_names": list(space.names),
        "content": content,
    }


def _check_project(marker: Path, expected: dict[str, Any]) -> None:
    project = read_json(marker, "a project of records", _ELSEWHERE)
    held = project if isinstance(project, dict) else {}
    faults = [
        f"{marker}: expected {name} {shown(value)}, found "
        f"{shown(held.get(name))}, records of another project. {_ELSEWHERE}"
        for name, value in expected.items()
        if held.get(name) != value
    ]
    if faults:
        raise InputError(*faults)
