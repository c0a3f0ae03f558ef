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
_FORMAT = "tfpartial records"
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
        _claim(records_dir, space, content)
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
        _check_project(marker, space, content)
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


def _claim(records_dir: Path, space: LabelSpace, content: str) -> None:
    """Write project.json, which says whose folder it is, if there is none."""
    marker = records_dir / PROJECT_FILE
    if marker.is_file():
        return
    project = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "label_names": space.names,
        "content": content,
    }
    write_whole(marker, json.dumps(project, indent=2) + "\n")


def _check_project(marker: Path, space: LabelSpace, content: str) -> None:
    project = read_json(marker, "a project of records", _ELSEWHERE)
    try:
        kind, labels = project["format"], tuple(project["label_names"])
        schema, held = project["schema_version"], project["content"]
        described = ", ".join(labels[1:])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{marker}: expected another document, found one that is not "
            f"readable as a project of records ({error!r}). {_ELSEWHERE}"
        ) from None
    if kind != _FORMAT:
        raise InputError(
            f"{marker}: expected format '{_FORMAT}', found {shown(kind)}. "
            + _ELSEWHERE
        )
    if schema != SCHEMA_VERSION:
        raise InputError(
            f"{marker}: expected record schema version {SCHEMA_VERSION}, "
            f"found {shown(schema)}. {_ELSEWHERE}"
        )
    if labels != space.names:
        raise InputError(
            f"{marker}: records of another project: found the labels "
            f"{described}, expected those of the config, "
            f"{', '.join(space.names[1:])}. {_ELSEWHERE}"
        )
    if held != content:
        raise InputError(
            f"{marker}: expected {content} records, found {shown(held)}, which "
            f"would be replaced. {_ELSEWHERE}"
        )
