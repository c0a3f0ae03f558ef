"""What a reader of the systems table must know, as plain sentences.

In: `SystemsTable`. Out: text without markup; each style escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tfpartial.comparison.statistics.significance import (
    EXACT_UP_TO,
    FEWEST_FOR_5_PERCENT,
    PairedComparison,
)
from tfpartial.comparison.statistics.systems_table import (
    SystemColumn,
    SystemsTable,
)

LEVEL = 0.05
BETTER, WORSE = "*", "†"


def caption(table: SystemsTable) -> str:
    """Return n, seeds, baseline, test, correction and bootstrap."""
    seeds = sorted({seed for c in table.columns for seed in c.seeds})
    sentences = [
        f"Dice in %: mean over {_count(seeds, 'seed')} "
        f"({_join(seeds)}) of the mean over n test cases "
        f"({len(table.cases)} in all), ± sample standard deviation over "
        f"seeds.",
        "Overlapping: labels that every database annotates; non-overlapping: "
        "the rest; these rows and the total mean are means over labels of "
        "their means.",
        "Bold: best of its row.",
        f"{BETTER} better, {WORSE} worse than {table.baseline} at p < "
        f"{LEVEL:g} after Holm's correction over the {table.family} "
        f"comparisons of this table. {_test(table)} {_interval(table)}",
    ]
    return " ".join(sentences)


def comparisons_caption(table: SystemsTable) -> str:
    """Return what the columns of the comparisons mean."""
    return (
        f"Every system against {table.baseline}. Difference: mean over n "
        f"patients, in points of Dice %. {_interval(table)} Differ: patients "
        f"whose two values are not equal. r: matched-pairs rank-biserial "
        f"correlation, 1 if every patient that differs is better. p: before, "
        f"p Holm: after Holm's correction over the {table.family} "
        f"comparisons of this table. {_test(table)}"
    )


def notes(table: SystemsTable) -> list[str]:
    """Return what is unusual about this table, one sentence group each."""
    lines: list[str] = []
    for column in table.columns:
        lines += _column_notes(column)
    if table.excluded:
        pairs = [f"{case} {label}" for case, label in table.excluded]
        lines.append(f"Left out of every number: {_join(pairs)}.")
    if table.left_out:
        lines.append(f"Scored, but without a row: {_join(table.left_out)}.")
    return lines + _power_notes(table)


def iterate_comparisons(
    table: SystemsTable,
) -> Iterator[tuple[SystemColumn, int, PairedComparison]]:
    """Yield (column, row position, comparison); a system and its aliases once.

    Comparisons without any pair are not among them.
    """
    seen = set()
    for column in table.columns:
        target = column.alias_of or column.name
        if target in seen:
            continue
        seen.add(target)
        for position, cell in enumerate(column.cells):
            if cell.comparison is not None and cell.comparison.n:
                yield column, position, cell.comparison


def _test(table: SystemsTable) -> str:
    """Return the test in words."""
    nonzero = [tested.nonzero for _, _, tested in iterate_comparisons(table)]
    exact = max(nonzero, default=0) <= EXACT_UP_TO
    kind = "exact" if exact else f"exact up to {EXACT_UP_TO} patients"
    return (
        f"Test: two-sided Wilcoxon signed-rank ({kind}) over patients, each "
        f"the mean over its seeds and labels."
    )


def _interval(table: SystemsTable) -> str:
    """Return the bootstrap in words."""
    drawn = table.bootstrap
    return (
        f"Interval of a difference: {100 * drawn.confidence:g} %, BCa, "
        f"{drawn.resamples:,} bootstrap resamples of patients, seed "
        f"{drawn.seed}."
    )


def _column_notes(column: SystemColumn) -> Iterator[str]:
    if column.alias_of is not None:
        yield (
            f"{column.name} is {column.alias_of} under another name and "
            f"counts as one comparison with it."
        )
        return
    missing = column.missing_seeds
    if missing and not column.seeds:
        yield f"{column.name}: no finished run."
    elif missing:
        yield (
            f"{column.name}: {_count(column.seeds, 'seed')} only "
            f"({_join(column.seeds)}); missing, failed or unfinished: "
            f"{_join(missing)}."
        )
    if column.missing_predictions:
        yield (
            f"{column.name}: {column.missing_predictions} prediction(s) "
            f"missing, scored 0."
        )


def _power_notes(table: SystemsTable) -> list[str]:
    """Say where no effect, however large, could be significant."""
    nonzero = [tested.nonzero for _, _, tested in iterate_comparisons(table)]
    if not nonzero:
        return []
    smallest = table.family * 2.0 ** (1 - max(nonzero))
    if smallest >= LEVEL:
        return [
            f"No corrected p of this table can be below {LEVEL:g}: with "
            f"{max(nonzero)} patients that differ and {table.family} "
            f"comparisons the smallest possible one is "
            f"{min(1.0, smallest):.2g}. Read the intervals and effect sizes."
        ]
    few = sum(n < FEWEST_FOR_5_PERCENT for n in nonzero)
    if few:
        return [
            f"In {few} comparison(s) fewer than {FEWEST_FOR_5_PERCENT} "
            f"patients differ: there no p can be below {LEVEL:g}."
        ]
    return []


def _count(items: Sequence[object], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _join(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
