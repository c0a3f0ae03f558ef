"""The same words on the console, in Markdown and in CSV.

In: plain text and numbers. Out: text in which nothing is taken for markup.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Literal

Style = Literal["console", "markdown", "latex", "csv"]
CONSOLE_COLUMNS = 80


def quote(text: str) -> str:
    """Return text that Markdown sets as it stands, in a table too."""
    # "<" opens a tag, "_" emphasis, only beside a letter on one side.
    return re.sub(r"([\\|*`]|<(?=\S)|(?<!\w)_|_(?!\w))", r"\\\1", text)


def under_table(
    rendered: str, caption: str, notes: Sequence[str], style: Style
) -> str:
    """Return a console or Markdown table, its caption, one line per note."""
    if style == "markdown":
        parts = [rendered, quote(caption)]
        parts += ["\n".join(f"- {quote(note)}" for note in notes)]
    else:
        parts = [rendered, textwrap.fill(caption, CONSOLE_COLUMNS)]
        parts += ["\n".join(_bullet(note) for note in notes)]
    return "\n\n".join(part for part in parts if part)


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """Return CSV; None and NaN are empty, floats have 10 digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(map(_csv_cell, row))
    return text.getvalue()


def _bullet(note: str) -> str:
    return textwrap.fill(
        note, CONSOLE_COLUMNS, initial_indent="- ", subsequent_indent="  "
    )


def _csv_cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.10g}"
