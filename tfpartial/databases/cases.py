"""The cases of a database: source, patient, what is annotated, position.

In: a declared database. Out: `Case` list, or all the faults of all its cases.
No voxel is read here; `read.read_case` does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpartial.config.database import Database, Position
from tfpartial.databases.layouts import LAYOUTS, layout_of
from tfpartial.databases.layouts.base import Layout
from tfpartial.databases.patients import patient_of
from tfpartial.databases.sources import SCAN, ScanSource
from tfpartial.databases.stored_values import (
    StoredValues,
    annotated_labels,
    stored_values,
)
from tfpartial.errors import Faults, InputError, did_you_mean, join_names
from tfpartial.labels import LabelSpace


@dataclass(frozen=True, eq=False)
class Case:
    """One scan with its annotation.

    Attributes:
        case_id: unique in its database.
        database: name of the database.
        source: where its voxels are, and how to read them.
        patient_id: unit of the split; the case id unless a pattern says more.
        annotated: (L,) bool; column 0 (background) is always true.
        prone_turn: whether preprocessing must turn the patient over.
    """

    case_id: str
    database: str
    source: ScanSource
    patient_id: str
    annotated: np.ndarray
    prone_turn: bool


def find_cases(
    database: Database,
    space: LabelSpace,
    patient_pattern: str | None = None,
) -> list[Case]:
    """Return the cases of a database, sorted by case id.

    Args:
        database: as declared.
        space: the label space, L channels.
        patient_pattern: `build.splits.patient_pattern`.

    Returns:
        One `Case` per scan that is not excluded.

    Raises:
        InputError: every fault of the declaration and of the files together.
    """
    layout = layout_of(database)
    with Faults() as faults:
        _check_fields(database, layout, faults)
        protocol = _protocol(database, space, faults)
        sources = _find_sources(database, layout, faults)
        _check_files(sources, database, faults)
        _check_undeclared(sources, database, faults)
        patients = _patients(sources, patient_pattern, faults)
        if protocol is None:
            faults.raise_if_any()
            return []
        stored, annotated = protocol
        _check_absent(sources, database, layout, stored, space, faults)
    return [
        Case(
            case_id=case_id,
            database=database.name,
            source=source,
            patient_id=patients[case_id],
            annotated=_annotated_in(
                case_id, source, database, stored, annotated, space
            ),
            prone_turn=is_turned(database, case_id),
        )
        for case_id, source in sorted(sources.items())
    ]


def _check_fields(database: Database, layout: Layout, faults: Faults) -> None:
    """Refuse fields without effect and unknown names in `priority`.

    Declaring a field that this layout does not read is a misunderstanding
    that must not pass silently.
    """
    fields = type(database).model_fields
    for name in sorted({name for known in LAYOUTS for name in known.fields}):
        default = fields[name].get_default(call_default_factory=True)
        if name in layout.fields or getattr(database, name) == default:
            continue
        users = [known.name for known in LAYOUTS if name in known.fields]
        faults.add(
            f"database '{database.name}': '{name}' has no effect in layout "
            f"'{layout.name}' (only in {', '.join(users)}). Remove it."
        )
    for structure in database.priority:
        if structure not in database.values:
            faults.add(
                f"database '{database.name}': 'priority' names "
                f"'{structure}', which 'values' does not declare."
                + did_you_mean(structure, database.values)
            )


def _protocol(
    database: Database, space: LabelSpace, faults: Faults
) -> tuple[StoredValues, np.ndarray] | None:
    """Return stored values and annotated labels; None where at fault."""
    try:
        stored = stored_values(database, space)
        return stored, annotated_labels(database, stored, space)
    except InputError as error:
        faults.add(error)
        return None


def _find_sources(
    database: Database, layout: Layout, faults: Faults
) -> dict[str, ScanSource]:
    """Return the source of every case that is not excluded."""
    if not Path(database.path).is_dir():
        faults.add(
            f"database '{database.name}': expected a folder at 'path' "
            f"{database.path}, found none. Correct 'path'."
        )
        return {}
    try:
        sources = layout.find(database, faults)
    except InputError as error:
        faults.add(error)
        return {}
    for name, ids in (
        ("exclude", database.exclude),
        ("cases", list(database.cases)),
    ):
        for case_id in ids:
            if case_id not in sources:
                faults.add(
                    f"database '{database.name}': '{name}' names case "
                    f"'{case_id}', which {database.path} does not contain."
                    + did_you_mean(case_id, sources)
                    + " Correct the id, or remove it."
                )
    excluded = set(database.exclude)
    kept = {c: s for c, s in sources.items() if c not in excluded}
    if not kept:
        faults.add(
            f"database '{database.name}': expected cases of layout "
            f"'{layout.name}', found that {database.path} holds no case"
            + (" that is not excluded." if sources else ".")
            + " Correct 'path' or 'layout'."
        )
    return kept


def _check_files(
    sources: Mapping[str, ScanSource], database: Database, faults: Faults
) -> None:
    """Refuse missing files, and a scan that is two cases (through a link)."""
    missing: dict[str, list[Path]] = {}
    owners: dict[tuple[Path, ...], str] = {}
    for case_id, source in sorted(sources.items()):
        for role, paths in source.files.items():
            for path in paths:
                if not path.is_file():
                    missing.setdefault(role, []).append(path)
        scan = tuple(sorted(path.resolve() for path in source.files[SCAN]))
        owner = owners.setdefault(scan, case_id)
        if owner != case_id:
            faults.add(
                f"database '{database.name}': cases '{owner}' and '{case_id}' "
                f"are the same scan {join_names(scan, 1)}. List one of them "
                f"under 'exclude'."
            )
    for role, paths in missing.items():
        faults.add(
            f"database '{database.name}': expected a {role} in every case, "
            f"{role} not found for {len(paths)} case(s): {join_names(paths)}. "
            f"Restore the file(s), or list the case(s) under 'exclude'."
        )


def _check_undeclared(
    sources: Mapping[str, ScanSource], database: Database, faults: Faults
) -> None:
    """Refuse structures that `values` leaves out.

    A forgotten structure would silently be taught as background.
    """
    undeclared: dict[str, list[Path]] = {}
    for source in sources.values():
        for structure, path in source.undeclared.items():
            undeclared.setdefault(structure, []).append(path)
    for structure, paths in sorted(undeclared.items()):
        faults.add(
            f"database '{database.name}': mask '{structure}' of "
            f"{len(paths)} case(s) is not declared under 'values': "
            f"{join_names(paths, 3)}. Map '{structure}' to a label, to "
            f"'ignore', or to 'background' (its file is then not used)."
        )


def _patients(
    case_ids: Iterable[str], pattern: str | None, faults: Faults
) -> dict[str, str]:
    """Return case id -> patient id."""
    patients = {}
    for case_id in case_ids:
        try:
            patients[case_id] = patient_of(case_id, pattern)
        except InputError as error:
            faults.add(error)
    return patients


def _override(database: Database, case_id: str) -> list[str] | None:
    """Return the labels a case declares as annotated, if it does."""
    override = database.cases.get(case_id)
    return None if override is None else override.annotated


def _check_absent(
    sources: Mapping[str, ScanSource],
    database: Database,
    layout: Layout,
    stored: StoredValues,
    space: LabelSpace,
    faults: Faults,
) -> None:
    """Refuse absent structures that the declaration does not explain.

    A structure that means 'background' claims nothing, and one whose labels
    the case's override leaves out is expected to be absent.
    """
    unexplained: dict[str, list[str]] = {}
    for case_id, source in sorted(sources.items()):
        names = _override(database, case_id)
        for structure in source.absent:
            if stored.code_of[structure] == 0:
                continue
            labels = stored.labels_of(structure)
            claimed = names is not None and labels[space.vector(names)].any()
            if labels.any() and names is not None and not claimed:
                continue
            if database.absent_mask == "error":
                unexplained.setdefault(structure, []).append(case_id)
            elif database.absent_mask == "not_annotated" and claimed:
                faults.add(
                    f"database '{database.name}': 'cases.{case_id}' "
                    f"declares labels of '{structure}' as annotated, but its "
                    f"mask is absent. Restore the mask, or correct the list."
                )
    for structure, case_ids in unexplained.items():
        file = database.mask.replace("{structure}", structure)
        where = f" ({file})" if "mask" in layout.fields else ""
        faults.add(
            f"database '{database.name}': expected a mask of '{structure}'"
            f"{where} in every case, found none in {len(case_ids)} of "
            f"{len(sources)}: {join_names(case_ids)}. Restore it; or declare "
            f"'absent_mask: not_annotated' (unknown there) or 'empty' (known "
            f"to be absent); or list what these cases annotate under 'cases'."
        )


def _annotated_in(
    case_id: str,
    source: ScanSource,
    database: Database,
    stored: StoredValues,
    protocol: np.ndarray,
    space: LabelSpace,
) -> np.ndarray:
    """Return (L,) bool: what one case annotates of its protocol."""
    names = _override(database, case_id)
    annotated = protocol.copy() if names is None else space.vector(names)
    if names is None and database.absent_mask == "not_annotated":
        for structure in source.absent:
            annotated &= ~stored.labels_of(structure)
    annotated[0] = True
    return annotated


def declared_position(database: Database, case_id: str) -> Position:
    """Return the position of a case: its own, or that of its database."""
    override = database.cases.get(case_id)
    if override is not None and override.patient_position is not None:
        return override.patient_position
    return database.patient_position


def is_turned(database: Database, case_id: str) -> bool:
    """Whether preprocessing must turn the patient over, as declared."""
    prone = declared_position(database, case_id) == "prone"
    return prone and database.affine_frame == "scanner"
