"""Tables of results for the console and for Markdown; every mean has its n.

In: evaluation tables. Out: text.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from tfpartial.evaluation import EvaluationTable, LabelSummary, Summary

Style = Literal["console", "markdown"]
NO_VALUE = "–"
MEAN_ROW = "mean over labels"


def dice_table(
    columns: Mapping[str, EvaluationTable],
    database: str | None = None,
    style: Style = "console",
) -> str:
    """Return the Dice per label: mean (n = counted cases).

    The last row is the mean over labels with the number of labels.

    Args:
        columns: heading -> table, such as {"student": ..., "teacher": ...}.
        database: only its cases; default: all cases together.
        style: aligned text, or Markdown.
    """
    summaries = [table.summary(database) for table in columns.values()]
    labels = dict.fromkeys(
        label.label for summary in summaries for label in summary.labels
    )
    rows = [["label", *columns]]
    for name in labels:
        rows.append([name, *(_dice_cell(s, name) for s in summaries)])
    rows.append([MEAN_ROW, *(_with_labels(s.dice, s.n) for s in summaries)])
    return render(rows, style)


def metrics_table(
    table: EvaluationTable,
    database: str | None = None,
    style: Style = "console",
) -> str:
    """Return all metrics per label of one table.

    HD95 is the mean over the cases where both surfaces exist, with an n of
    its own. 'false pos.' counts cases known not to contain the label in
    which it was predicted, of all such cases.
    """
    summary = table.summary(database)
    tolerance = table.provenance.get("tolerance_mm")
    nsd = "NSD" if tolerance is None else f"NSD {tolerance:g} mm"
    header = ["label", "Dice ± sd", nsd, "HD95 mm", "reference ml"]
    header += ["prediction ml", "false pos."]
    rows = [_metrics_row(label) for label in summary.labels]
    mean = [
        MEAN_ROW,
        _with_labels(summary.dice, summary.n),
        _with_labels(summary.nsd, summary.n),
        _with_labels(summary.hd95_mm, summary.hd95_n, 1),
        *[""] * 3,
    ]
    return render([header, *rows, mean], style)


def _metrics_row(label: LabelSummary) -> list[str]:
    deviation = "" if math.isnan(label.dice_sd) else f" ± {label.dice_sd:.3f}"
    dice = _number(label.dice) + deviation
    return [
        label.label,
        f"{dice} (n={label.n})",
        _with_n(label.nsd, label.n),
        _with_n(label.hd95_mm, label.hd95_n, 1),
        _with_n(label.reference_ml, label.cases, 1),
        _with_n(label.prediction_ml, label.cases, 1),
        f"{label.false_positives} of {label.absent}",
    ]


def _dice_cell(summary: Summary, name: str) -> str:
    label = summary.label(name)
    if label is None:
        return NO_VALUE
    missing = f", {label.missing} missing" if label.missing else ""
    return f"{_number(label.dice)} (n={label.n}{missing})"


def _with_n(value: float, n: int, digits: int = 3) -> str:
    return f"{_number(value, digits)} (n={n})"


def _with_labels(value: float, n: int, digits: int = 3) -> str:
    return f"{_number(value, digits)} ({n} label{'' if n == 1 else 's'})"


def _number(value: float, digits: int = 3) -> str:
    return NO_VALUE if math.isnan(value) else f"{value:.{digits}f}"


def render(
    rows: Sequence[Sequence[str]],
    style: Style,
    rules: Collection[int] | None = None,
    left: int = 1,
) -> str:
    """Return rows of text, the first a header, as an aligned table.

    Args:
        rows: of one length.
        style: console or markdown.
        rules: rows that have a line above them on the console, besides the
            first after the header; default: the last, a mean.
        left: columns that are left-aligned; the rest are right-aligned.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [
        [
            cell.ljust(width) if position < left else cell.rjust(width)
            for position, (cell, width) in enumerate(
                zip(row, widths, strict=True)
            )
        ]
        for row in rows
    ]
    if style == "markdown":
        rule = ["-" * width for width in widths[:left]]
        rule += ["-" * (width - 1) + ":" for width in widths[left:]]
        lines = [padded[0], rule, *padded[1:]]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    rule = ["-" * width for width in widths]
    drawn = {1, *(rules if rules is not None else (len(rows) - 1,))}
    lines = []
    for position, line in enumerate(padded):
        lines += [rule, line] if position in drawn else [line]
    return "\n".join("  ".join(line).rstrip() for line in lines)
