"""Traps 5 and 9: which database a scan belongs to, and which scan it is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tfpartial.databases import Case, all_cases
from tfpartial.errors import InputError
from tfpartial.records.cases_file import CaseEntry
from tfpartial.scans import Volume
from tfrecords_builder import build, scan_cache

# As in public code: a table of protocols, looked up by a piece of a path.
PROTOCOLS = {
    "pelvis": ["bone"],
    "abdomen": ["bone", "left", "right"],
}


def _guess(
    monkeypatch: pytest.MonkeyPatch, clue: Callable[[Case], Iterable[str]]
) -> None:
    """Let the first protocol among the clues decide, if there is one."""
    real = all_cases.find_cases

    def find_cases(database: Any, space: Any, *more: Any) -> list[Case]:
        guessed = []
        for case in real(database, space, *more):
            names = [word for word in clue(case) if word in PROTOCOLS]
            if names:
                annotated = space.vector(["background", *PROTOCOLS[names[0]]])
                case = replace(case, database=names[0], annotated=annotated)
            guessed.append(case)
        return guessed

    monkeypatch.setattr(all_cases, "find_cases", find_cases)


def database_from_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan below a folder `abdomen` is taken for one of 'abdomen'."""
    _guess(monkeypatch, lambda case: case.source.name.split("/"))


def database_from_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan `abdomen_01` is taken for one of 'abdomen'."""
    _guess(monkeypatch, lambda case: case.case_id.split("_")[:1])


def _compare(
    monkeypatch: pytest.MonkeyPatch,
    groups_of: Callable[[list[CaseEntry]], Mapping[str, list[CaseEntry]]],
) -> None:
    """Look for duplicates within each group only."""
    real = build.check_duplicates

    def check(cases: Iterable[CaseEntry]) -> list[str]:
        groups = groups_of(list(cases)).values()
        return list(itertools.chain.from_iterable(map(real, groups)))

    monkeypatch.setattr(build, "check_duplicates", check)


def duplicates_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans of different names are not compared."""
    _compare(monkeypatch, lambda found: _grouped(found, "case"))


def duplicates_within_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans of different databases are not compared."""
    _compare(monkeypatch, lambda found: _grouped(found, "database"))


def _grouped(found: list[CaseEntry], key: str) -> dict[str, list[CaseEntry]]:
    groups: dict[str, list[CaseEntry]] = {}
    for scan in found:
        groups.setdefault(getattr(scan, key), []).append(scan)
    return groups


def duplicates_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan on both sides of the split is a warning."""
    real = build.check_duplicates

    def check(cases: Iterable[CaseEntry]) -> list[str]:
        try:
            return real(cases)
        except InputError as error:
            return list(error.faults)

    monkeypatch.setattr(build, "check_duplicates", check)


def hash_of_stored_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The voxels are hashed in their order on disk, not in space."""

    def stored_hash(volume: Volume) -> str:
        text = f"{volume.shape} {volume.array.tobytes().hex()}"
        return hashlib.sha256(text.encode()).hexdigest()

    monkeypatch.setattr(scan_cache, "exact_hash", stored_hash)
