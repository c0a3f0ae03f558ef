"""Every comparison of the systems table on a line of its own.

In: `SystemsTable`. Out: text: difference, interval, effect size, p.
"""

from __future__ import annotations

import math

from tfpartial.comparison.statistics.significance import PairedComparison
from tfpartial.comparison.statistics.systems_table import SystemsTable
from tfpartial.comparison.tables.captions import (
    comparisons_caption,
    iterate_comparisons,
)
from tfpartial.comparison.tables.latex import escape, latex_table
from tfpartial.comparison.tables.markup import (
    Style,
    csv_text,
    quote,
    under_table,
)
from tfpartial.reporting.tables import NO_VALUE, render


def comparisons_table(table: SystemsTable, style: Style = "markdown") -> str:
    """Return one line per comparison, differences in points of Dice %.

    A system and its aliases stand once; a comparison without any patient is
    left out.

    Args:
        table: of `build_systems_table`.
        style: console, markdown, latex (a fragment, needs booktabs and
            longtable) or csv (10 digits, no caption).
    """
    if style == "csv":
        return _csv(table)
    interval = f"{100 * table.bootstrap.confidence:g} % interval"
    rows = [["system", "row", "n", "differ", "difference", interval]]
    rows[0] += ["r", "p", "p Holm"]
    rules, last = [], ""
    for column, position, tested in iterate_comparisons(table):
        if column.name != last:
            rules.append(len(rows))
        last = column.name
        name = table.rows[position].name
        rows.append([column.name, name, *_format_cells(tested)])
    if len(rows) == 1:
        nothing = f"Nothing to compare with {table.baseline}."
        return f"% {nothing}" if style == "latex" else nothing
    text = comparisons_caption(table)
    if style == "latex":
        escaped = [list(map(escape, row)) for row in rows]
        return latex_table(escaped, text, rules=rules, left=2, long=True)
    if style == "markdown":
        rows = [list(map(quote, row)) for row in rows]
    rendered = render(rows, style, rules=rules, left=2)
    return under_table(rendered, text, (), style)


def _format_cells(tested: PairedComparison) -> list[str]:
    points = tested.mean_difference, tested.low, tested.high
    difference, low, high = (_format_signed(100 * point, 1) for point in points)
    return [
        str(tested.n),
        str(tested.nonzero),
        difference,
        f"{low} to {high}",
        _format_signed(tested.effect_size, 2),
        _format_p(tested.p),
        _format_p(tested.p_holm),
    ]


def _format_signed(value: float, digits: int) -> str:
    """Return a number with its sign; what rounds to 0 has none."""
    if math.isnan(value):
        return NO_VALUE
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _format_p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _csv(table: SystemsTable) -> str:
    header = ["system", "row", "n", "differ", "difference %", "low %"]
    rows: list[list[object]] = [[*header, "high %", "r", "p", "p Holm"]]
    for column, position, tested in iterate_comparisons(table):
        points = tested.mean_difference, tested.low, tested.high
        rows.append(
            [
                column.name,
                table.rows[position].name,
                tested.n,
                tested.nonzero,
                *(100 * point for point in points),
                tested.effect_size,
                tested.p,
                tested.p_holm,
            ]
        )
    return csv_text(rows)
