"""The data of the systems table: which system is better, and is it real?

In: the scores of every system and seed, aligned by `systems_scores`.
Out: `SystemsTable`: per label and over labels, the mean over seeds with its
spread, and a paired comparison against the baseline in which the patient is
the unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfpartial.comparison.statistics.align import ScoreCube, align_scores
from tfpartial.comparison.statistics.significance import (
    Bootstrap,
    PairedComparison,
    compare_pairs,
    correct_by_holm,
)
from tfpartial.comparison.statistics.systems_table import (
    Cell,
    Cost,
    Row,
    SystemColumn,
    SystemsTable,
)
from tfpartial.evaluation.scores import Score

OVERLAPPING = "overlapping"
NON_OVERLAPPING = "non-overlapping"
TOTAL_MEAN = "total mean"


def build_systems_table(
    systems: Mapping[str, Mapping[int, Sequence[Score]]],
    *,
    labels: Sequence[str],
    overlapping: Collection[str],
    baseline: str,
    columns: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    expected_seeds: Sequence[int] = (),
    costs: Mapping[str, Cost] | None = None,
    exclude: Mapping[str, str] | None = None,
    bootstrap: Bootstrap | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> SystemsTable:
    """Return the table of some systems.

    Formula:
        cell = mean over seeds of mean over labels of mean over cases
        comparison of a row: each patient's value is the mean over its labels
        of the mean over its seeds; labels that only one of the two systems
        has a value for are left out of the patient's pair

    The two weigh alike where every case has every label. Where some lack,
    the difference of two cells averages labels and the comparison patients.

    Args:
        systems: system -> seed -> scores of the same cases.
        labels: rows; a merged structure ('A+B') is one if it stands here.
            What was scored and has no row is named in `left_out`.
        overlapping: those in every database's label set.
        baseline: one of the systems; it need not be shown.
        columns: systems and aliases to show.
        aliases: column -> the system that it repeats.
        expected_seeds: of every system; those it lacks are flagged.
        costs: by system.
        exclude: case id -> label that no system is scored on, such as a known
            wrong reference.
        bootstrap: of the intervals; default: `Bootstrap()`.
        provenance: JSON-able; kept with the table.

    Raises:
        InputError: runs that were scored on other cases or against other
            references; nothing to exclude; no finished run.
    """
    aliases = aliases or {}
    scores = align_scores(systems, labels, exclude or {})
    rows = _list_rows(labels, overlapping)
    bootstrap = bootstrap or Bootstrap()
    targets = dict.fromkeys(aliases.get(name, name) for name in columns)
    cells = _build_cells(scores, list(targets), rows, baseline, bootstrap)
    built = []
    for name in columns:
        target = aliases.get(name, name)
        built.append(
            SystemColumn(
                name=name,
                alias_of=aliases.get(name),
                seeds=tuple(sorted(systems[target])),
                missing_seeds=tuple(
                    sorted({*expected_seeds} - set(systems[target]))
                ),
                missing_predictions=scores.missing[target],
                cost=(costs or {}).get(target),
                cells=cells[target],
                dice=tuple(
                    map(tuple, _mean_known(scores.dice[target], 0).tolist())
                ),
            )
        )
    p_values = [
        cell.comparison.p
        for target in targets
        for cell in cells[target]
        if cell.comparison is not None
    ]
    return SystemsTable(
        baseline=baseline,
        rows=rows,
        columns=tuple(built),
        cases=scores.cases,
        family=len(p_values) - int(np.isnan(p_values).sum()),
        bootstrap=bootstrap,
        excluded=scores.excluded,
        left_out=scores.left_out,
        provenance=dict(provenance or {}),
    )


def _list_rows(
    labels: Sequence[str], overlapping: Collection[str]
) -> tuple[Row, ...]:
    """Return labels, then the aggregates that have any label."""
    shared = tuple(label for label in labels if label in overlapping)
    rest = tuple(label for label in labels if label not in overlapping)
    rows = [Row(label, (label,), False) for label in labels]
    for name, members in (
        (OVERLAPPING, shared),
        (NON_OVERLAPPING, rest),
        (TOTAL_MEAN, tuple(labels)),
    ):
        if members:
            rows.append(Row(name, members, True))
    return tuple(rows)


def _build_cells(
    scores: ScoreCube,
    systems: Sequence[str],
    rows: Sequence[Row],
    baseline: str,
    bootstrap: Bootstrap,
) -> dict[str, tuple[Cell, ...]]:
    """Return the cells of every system; their p values corrected together."""
    columns = {
        row: [scores.labels.index(label) for label in row.labels]
        for row in rows
    }
    values = {name: _mean_known(scores.dice[name], 0) for name in scores.dice}
    tested = []
    for system in systems:
        if system == baseline:
            continue
        better = values[system] - values[baseline]
        for row in rows:
            by_patient = _mean_known(better[:, columns[row]], 1)
            zero = np.zeros(len(by_patient))
            tested.append(compare_pairs(by_patient, zero, bootstrap))
    comparisons = iter(correct_by_holm(tested))
    return {
        system: tuple(
            _build_cell(
                scores.dice[system][:, :, columns[row]],
                None if system == baseline else next(comparisons),
            )
            for row in rows
        )
        for system in systems
    }


def _build_cell(dice: np.ndarray, comparison: PairedComparison | None) -> Cell:
    """Return the cell of (seeds, cases, labels) Dice."""
    over_cases = _mean_known(dice, 1)
    by_seed = _mean_known(over_cases, 1)
    by_seed = by_seed[~np.isnan(by_seed)]
    return Cell(
        mean=float(_mean_known(by_seed, 0)),
        spread=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else np.nan,
        seeds=len(by_seed),
        n=int((~np.isnan(dice)).any(axis=(0, 2)).sum()),
        comparison=comparison,
    )


def _mean_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean along an axis over what is not NaN; NaN of nothing."""
    counted = ~np.isnan(values)
    n = counted.sum(axis=axis)
    total = np.where(counted, values, 0.0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)
