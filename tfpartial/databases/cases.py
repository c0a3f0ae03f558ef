"""The cases of a database: source, patient, what is annotated, position.

In: a declared database. Out: `Case` list, or all the faults of all its cases.
No voxel is read here; `read.read_case` does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpartial.config.database import Database, Position
from tfpartial.databases.case_checks import (
    annotated_override,
    check_absent,
    check_fields,
    check_files,
    check_keys,
    check_undeclared,
)
from tfpartial.databases.layouts import layout_of
from tfpartial.databases.layouts.base import Layout
from tfpartial.databases.patients import patient_of
from tfpartial.databases.sources import ScanFile, ScanSource
from tfpartial.databases.stored_values import (
    StoredValues,
    annotated_labels,
    stored_values,
)
from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.labels import LabelSpace
from tfpartial.scans import Placement, Volume, turn_prone


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

    def in_patient_frame(self, volume: Volume) -> Volume:
        """Return a volume of this case, turned over if that is declared."""
        if not self.prone_turn:
            return volume
        return Volume(volume.array, turn_prone(volume.affine))


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
        check_fields(database, layout, faults)
        protocol = _protocol(database, space, faults)
        sources = _find_sources(database, layout, faults)
        check_files(sources, database, faults)
        check_undeclared(sources, database, faults)
        check_keys(sources, database, faults)
        patients = _patients(sources, patient_pattern, faults)
        if protocol is None:
            faults.raise_if_any()
            return []
        stored, annotated = protocol
        check_absent(sources, database, layout, stored, space, faults)
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
    placement = placement_of(database)
    kept = {
        # Other sources know where their voxels are.
        c: replace(s, placement=placement) if isinstance(s, ScanFile) else s
        for c, s in sources.items()
        if c not in excluded
    }
    if not kept:
        faults.add(
            f"database '{database.name}': expected cases of layout "
            f"'{layout.name}', found that {database.path} holds no case"
            + (" that is not excluded." if sources else ".")
            + " Correct 'path' or 'layout'."
        )
    return kept


def placement_of(database: Database) -> Placement:
    """Return what a database declares of its files' headers."""
    return Placement(
        affine=database.affine,
        grid_tolerance_mm=database.grid_tolerance_mm,
        orientation=database.orientation,
    )


def _patients(
    case_ids: Iterable[str], pattern: str | None, faults: Faults
) -> dict[str, str]:
    """Return case id -> patient id."""
    patients = {}
    for case_id in case_ids:
        with faults.collect():
            patients[case_id] = patient_of(case_id, pattern)
    return patients


def _annotated_in(
    case_id: str,
    source: ScanSource,
    database: Database,
    stored: StoredValues,
    protocol: np.ndarray,
    space: LabelSpace,
) -> np.ndarray:
    """Return (L,) bool: what one case annotates of its protocol."""
    names = annotated_override(database, case_id)
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
