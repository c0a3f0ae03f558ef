"""The systems table for the console, Markdown, LaTeX and CSV.

In: `SystemsTable`. Out: text in the paper's shape: labels, overlapping,
non-overlapping, total mean in rows; systems in columns; cost below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfpartial.comparison.statistics.significance import PairedComparison
from tfpartial.comparison.statistics.systems_table import (
    Cell,
    SystemColumn,
    SystemsTable,
)
from tfpartial.comparison.tables.captions import (
    BETTER,
    LEVEL,
    WORSE,
    caption,
    notes,
)
from tfpartial.comparison.tables.latex import escape, latex_table
from tfpartial.comparison.tables.markup import (
    Style,
    csv_text,
    quote,
    under_table,
)
from tfpartial.reporting.tables import NO_VALUE, render


@dataclass(frozen=True)
class CellText:
    """One cell as text.

    Attributes:
        value: '87.7', or a cost.
        spread: '0.3', or nothing.
        mark: '*', '†' or nothing.
        best: bold.
    """

    value: str
    spread: str = ""
    mark: str = ""
    best: bool = False


def systems_table(table: SystemsTable, style: Style = "markdown") -> str:
    """Return the table in the paper's shape, with caption and notes.

    Cells are Dice % with one decimal, '87.7 ± 0.3 *'; n is the number of
    cases, 'a-b' where systems differ in it. CSV: numbers at full precision
    and corrected p values, no caption.

    Args:
        table: of `build_systems_table`.
        style: console, markdown, latex (a fragment, needs booktabs) or csv.
    """
    if style == "csv":
        return _csv(table)
    header, rows, rules = _lay_out(table)
    if style == "latex":
        cells = [[escape(name) for name in header]]
        cells += [
            [escape(row.name), escape(row.n), *map(_latex, row.cells)]
            for row in rows
        ]
        return latex_table(cells, caption(table), notes(table), rules)
    write = _markdown if style == "markdown" else _console
    plain = quote if style == "markdown" else str
    text = [[plain(name) for name in header]]
    text += [[plain(r.name), r.n, *map(write, r.cells)] for r in rows]
    rendered = render(text, style, rules)
    return under_table(rendered, caption(table), notes(table), style)


@dataclass(frozen=True)
class _Line:
    name: str
    n: str
    cells: list[CellText]


def _lay_out(table: SystemsTable) -> tuple[list[str], list[_Line], list[int]]:
    """Return header, lines, and the positions of rules (header is row 0)."""
    lines = []
    for position, row in enumerate(table.rows):
        cells = [column.cells[position] for column in table.columns]
        lines.append(_Line(row.name, _format_cases(cells), _format_row(cells)))
    aggregates = sum(row.aggregate for row in table.rows)
    rules = [1 + len(lines) - aggregates, 1 + len(lines)]
    for name, values in _format_costs(table.columns):
        lines.append(_Line(name, "", [CellText(value) for value in values]))
    header = ["label", "n", *(column.name for column in table.columns)]
    return header, lines, rules


def _format_cases(cells: Sequence[Cell]) -> str:
    """Return the n of a row; systems without a run do not count."""
    counts = sorted({cell.n for cell in cells if cell.seeds})
    if not counts:
        return "0"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def _format_row(cells: Sequence[Cell]) -> list[CellText]:
    """Return a row's cells; bold what is printed equal to the best."""
    values = [_percent(cell.mean) for cell in cells]
    means = [cell.mean for cell in cells if not math.isnan(cell.mean)]
    best = _percent(max(means)) if means else None
    return [
        CellText(
            value,
            "" if math.isnan(cell.spread) else _percent(cell.spread),
            _mark(cell.comparison),
            value == best,
        )
        for value, cell in zip(values, cells, strict=True)
    ]


def _format_costs(
    columns: Sequence[SystemColumn],
) -> list[tuple[str, list[str]]]:
    """Return the lines below the Dice: seeds, and costs where known."""
    lines = [("seeds", [str(len(column.seeds)) for column in columns])]
    for name in ("seconds", "patches"):
        values = _cost(columns, name)
        if any(value is not None for value in values):
            shown = [NO_VALUE if v is None else f"{v:,.0f}" for v in values]
            lines.append((f"{name} per run", shown))
    return lines


def _cost(
    columns: Sequence[SystemColumn], attribute: str
) -> list[float | None]:
    return [getattr(column.cost, attribute, None) for column in columns]


def _mark(comparison: PairedComparison | None) -> str:
    if comparison is None or not comparison.p_holm < LEVEL:
        return ""
    # The test's own direction: a mean may be pulled by one patient.
    return BETTER if comparison.effect_size > 0 else WORSE


def _percent(value: float) -> str:
    return NO_VALUE if math.isnan(value) else f"{100 * value:.1f}"


def _console(shown: CellText) -> str:
    spread = f" ± {shown.spread}" if shown.spread else ""
    # A blank where there is no mark keeps the digits below each other.
    return f"{shown.value}{spread}{shown.mark or ' '}"


def _markdown(shown: CellText) -> str:
    value = f"**{shown.value}**" if shown.best else shown.value
    spread = f" ± {shown.spread}" if shown.spread else ""
    mark = " " + quote(shown.mark) if shown.mark else ""
    return f"{value}{spread}{mark}"


def _latex(shown: CellText) -> str:
    value = escape(shown.value)
    value = rf"\textbf{{{value}}}" if shown.best else value
    if shown.spread:
        value += rf"{{\scriptsize$\pm${escape(shown.spread)}}}"
    mark = {BETTER: "*", WORSE: r"\dagger", "": ""}[shown.mark]
    return value + (f"$^{{{mark}}}$" if mark else "")


def _csv(table: SystemsTable) -> str:
    header: list[object] = ["row"]
    for column in table.columns:
        name = column.name
        header += [f"{name} Dice %", f"{name} sd", f"{name} n"]
        header.append(f"{name} p Holm")
    rows = [header]
    for position, row in enumerate(table.rows):
        line: list[object] = [row.name]
        for column in table.columns:
            cell = column.cells[position]
            p = cell.comparison.p_holm if cell.comparison else math.nan
            line += [100 * cell.mean, 100 * cell.spread, cell.n, p]
        rows.append(line)
    for name, values in (
        ("seeds", [len(column.seeds) for column in table.columns]),
        ("seconds per run", _cost(table.columns, "seconds")),
        ("patches per run", _cost(table.columns, "patches")),
    ):
        rows.append([name, *(x for v in values for x in (v, "", "", ""))])
    return csv_text(rows)
