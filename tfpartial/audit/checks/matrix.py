"""Database x label: how often declared, how often found, how large, which HU.

In: measures of all cases. Out: rows for the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import (
    HU_PERCENTILES,
    CaseMeasures,
    StructureMeasure,
)
from tfpartial.config import Database

ML_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
Five = tuple[float, ...]


@dataclass(frozen=True)
class DatabaseRow:
    """What one database declares, and its scans.

    Attributes:
        name: of the database.
        cases: how many, by split.
        licence: as declared.
        citation: as declared.
        position: patient position and affine frame, as declared.
        couch: side of the couch -> cases; "not seen" too.
        spacing_mm: (smallest, largest) along x, y, z.
        extent_mm: the same of the scans' extents.
    """

    name: str
    cases: dict[str, int]
    licence: str
    citation: str
    position: str
    couch: dict[str, int]
    spacing_mm: tuple[tuple[float, float], ...]
    extent_mm: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cell:
    """One structure in one database.

    Attributes:
        database: name.
        label: structure.
        declared: cases that annotate it and could be read.
        found: cases with a voxel of it.
        voxels: over all cases.
        ml: minimum, quartiles and maximum over the cases that contain it.
        hu: medians over these cases of the 5th, 25th, 50th, 75th and 95th
            percentile of HU under it.
    """

    database: str
    label: str
    declared: int
    found: int
    voxels: int
    ml: Five
    hu: Five


def database_rows(
    databases: Sequence[Database], cases: Sequence[CaseMeasures]
) -> list[DatabaseRow]:
    """Return a row per database, in declared order."""
    rows = []
    for database in databases:
        own = [case for case in cases if case.database == database.name]
        rows.append(
            DatabaseRow(
                name=database.name,
                cases=dict(Counter(case.split for case in own)),
                licence=database.licence,
                citation=database.citation,
                position=f"{database.patient_position}, affine of the "
                f"{database.affine_frame}",
                couch=dict(Counter(c.couch or "not seen" for c in own)),
                spacing_mm=_ranges([case.spacing_mm for case in own]),
                extent_mm=_ranges([case.extent_mm for case in own]),
            )
        )
    return rows


def _ranges(values: Sequence[Five]) -> tuple[tuple[float, float], ...]:
    """Return (smallest, largest) of each column; nothing of no rows."""
    finite = np.array([row for row in values if np.isfinite(row).all()])
    if not len(finite):
        return ()
    return tuple(
        (float(column.min()), float(column.max())) for column in finite.T
    )


def label_cells(cases: Sequence[CaseMeasures]) -> list[Cell]:
    """Return a cell per database and structure that it annotates."""
    grouped: dict[tuple[str, str], list[StructureMeasure]] = {}
    for case in cases:
        for structure in case.structures:
            key = (case.database, structure.name)
            grouped.setdefault(key, []).append(structure)
    return [
        _cell(database, label, members)
        for (database, label), members in grouped.items()
    ]


def _cell(
    database: str, label: str, members: Sequence[StructureMeasure]
) -> Cell:
    present = [member for member in members if member.voxels]
    nothing = (float("nan"),) * len(HU_PERCENTILES)
    ml = hu = nothing
    if present:
        ml = tuple(np.quantile([m.ml for m in present], ML_QUANTILES).tolist())
        hu = tuple(np.median([m.hu for m in present], axis=0).tolist())
    return Cell(
        database=database,
        label=label,
        declared=len(members),
        found=len(present),
        voxels=sum(member.voxels for member in members),
        ml=ml,
        hu=hu,
    )


def empty_findings(cells: Sequence[Cell]) -> list[Finding]:
    """Return a finding per declared structure that no case contains."""
    return [
        Finding(
            "empty",
            cell.database,
            "",
            cell.label,
            float(cell.declared),
            f"'{cell.label}' is declared in {cell.declared} case(s) and found "
            f"in none: every voxel of them would be taught not to be it. "
            f"Correct its stored value or file name, or remove it.",
        )
        for cell in cells
        if cell.found == 0
    ]


def file_findings(
    faults: Mapping[tuple[str, str], Sequence[str]],
) -> list[Finding]:
    """Return a finding per case whose files have faults."""
    return [
        Finding("files", database, case, "", float(len(texts)), " ".join(texts))
        for (database, case), texts in faults.items()
        if texts
    ]
