r"""LaTeX fragments with booktabs.

In: cells of text. Out: a table environment for \input.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

# Columns that fit a page in the larger type.
ROOMY = 8
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "−": r"$-$",
    "†": r"$^{\dagger}$",
    "–": "--",
}


def escape(text: str) -> str:
    r"""Return text that LaTeX sets as it stands.

    Example:
        'left_lung & 5 %' -> 'left\_lung \& 5 \%'
    """
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex_table(
    rows: Sequence[Sequence[str]],
    caption: str,
    notes: Sequence[str] = (),
    rules: Collection[int] = (),
    left: int = 1,
) -> str:
    """Return a table environment; it needs the package booktabs alone.

    Args:
        rows: LaTeX text (escaped), the first a header.
        caption: plain text.
        notes: plain text; below the table.
        rules: rows that have a line above them.
        left: columns that are left-aligned; the rest are right-aligned.
    """
    body = _body(rows, rules)
    size = r"\footnotesize" if len(rows[0]) <= ROOMY else r"\scriptsize"
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table}[tp]",
            rf"\centering{size}",
            r"\setlength{\tabcolsep}{2.5pt}",
            rf"\caption{{{escape(caption)}}}",
            rf"\begin{{tabular}}{{{_columns(rows, left)}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\raggedright {escape(note)}" for note in notes),
            r"\end{table}",
        ]
    )


def latex_long_table(
    rows: Sequence[Sequence[str]],
    caption: str,
    notes: Sequence[str] = (),
    rules: Collection[int] = (),
    left: int = 1,
) -> str:
    """Return a table that breaks over pages; it needs longtable, booktabs.

    Args as `latex_table`.
    """
    header, *body = _body(rows, rules)
    rule, *body = body
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs,longtable}.",
            r"{\scriptsize\setlength{\tabcolsep}{2.5pt}",
            rf"\begin{{longtable}}{{{_columns(rows, left)}}}",
            rf"\caption{{{escape(caption)}}}\\",
            r"\toprule",
            header,
            rule,
            r"\endhead",
            *body,
            r"\bottomrule",
            r"\end{longtable}",
            *(rf"\par\noindent {escape(note)}" for note in notes),
            r"\par}",
        ]
    )


def _columns(rows: Sequence[Sequence[str]], left: int) -> str:
    return "l" * left + "r" * (len(rows[0]) - left)


def _body(rows: Sequence[Sequence[str]], rules: Collection[int]) -> list[str]:
    """Return the header, a rule, and the rest, line by line."""
    lines = []
    for position, row in enumerate(rows):
        if position == 1 or position in rules:
            lines.append(r"\midrule")
        lines.append(" & ".join(row) + r" \\")
    return lines
