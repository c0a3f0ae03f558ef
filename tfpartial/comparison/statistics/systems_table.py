"""The systems table: systems in columns, labels in rows, every cell compared.

In: what `build_systems_table` computed. Out: plain frozen data that
`systems_file` stores and `tfpartial.reporting` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfpartial.comparison.statistics.significance import (
    Bootstrap,
    PairedComparison,
)


@dataclass(frozen=True)
class Cost:
    """What one run of a system took, as a mean over its seeds.

    Attributes:
        seconds: wall clock of its training; None if unknown.
        patches: patches it was trained on; None if unknown.
    """

    seconds: float | None = None
    patches: float | None = None


@dataclass(frozen=True)
class Row:
    """One row: a label, or a mean over several.

    Attributes:
        name: the label, 'overlapping', 'non-overlapping' or 'total mean'.
        labels: whose label means are averaged.
        aggregate: whether it is one of the last three.
    """

    name: str
    labels: tuple[str, ...]
    aggregate: bool


@dataclass(frozen=True)
class Cell:
    """One system in one row; Dice in [0, 1].

    Attributes:
        mean: mean over seeds of the mean over labels of the mean over cases;
            NaN without any value.
        spread: sample standard deviation over seeds; NaN below two.
        seeds: how many seeds have a value.
        n: cases with a value in at least one seed.
        comparison: against the baseline; None for the baseline itself.
    """

    mean: float
    spread: float
    seeds: int
    n: int
    comparison: PairedComparison | None


@dataclass(frozen=True)
class SystemColumn:
    """One system: its cells, and the values behind them.

    Attributes:
        name: heading.
        alias_of: the system whose numbers are shown under this name too.
        seeds: those that were evaluated.
        missing_seeds: those that were expected, but failed or are unfinished.
        missing_predictions: (case, seed) pairs without a prediction, scored 0.
        cost: None if unknown.
        cells: one per row of the table.
        dice: (cases, labels) mean over seeds, the values that the
            comparisons pair; NaN: not annotated, excluded, or absent from
            reference and prediction.
    """

    name: str
    alias_of: str | None
    seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    missing_predictions: int
    cost: Cost | None
    cells: tuple[Cell, ...]
    dice: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SystemsTable:
    """Systems in columns, labels and means over labels in rows.

    Attributes:
        baseline: what every system is compared with.
        rows: labels in the given order, then the aggregates.
        columns: systems in the given order.
        cases: 'database/case', in the order of `SystemColumn.dice`.
        family: number of comparisons that Holm's correction counts: every
            shown system but the baseline, times every row, where there is a
            p; an alias is the system it stands for and counts once.
        bootstrap: of the intervals.
        excluded: (case, label) pairs that no number uses.
        left_out: labels and merged structures that were scored but have no
            row.
        provenance: JSON-able.
    """

    baseline: str
    rows: tuple[Row, ...]
    columns: tuple[SystemColumn, ...]
    cases: tuple[str, ...]
    family: int
    bootstrap: Bootstrap
    excluded: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of `SystemColumn.dice`."""
        return tuple(row.name for row in self.rows if not row.aggregate)

    def column(self, name: str) -> SystemColumn:
        """Return a system's column. KeyError: it is not shown."""
        return {column.name: column for column in self.columns}[name]

    def cell(self, system: str, row: str) -> Cell:
        """Return one cell. KeyError: no such system or row."""
        names = [r.name for r in self.rows]
        return dict(zip(names, self.column(system).cells, strict=True))[row]
