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
    long: bool = False,
) -> str:
    """Return a table environment, or one that breaks over pages.

    Args:
        rows: LaTeX text (escaped), the first a header.
        caption: plain text.
        notes: plain text; below the table.
        rules: rows that have a line above them.
        left: columns that are left-aligned; the rest are right-aligned.
        long: breaks over pages; needs the package longtable beside booktabs.
    """
    size = r"\footnotesize" if len(rows[0]) <= ROOMY else r"\scriptsize"
    narrow = r"\setlength{\tabcolsep}{2.5pt}"
    columns = "l" * left + "r" * (len(rows[0]) - left)
    titled = rf"\caption{{{escape(caption)}}}"
    header, *body = [" & ".join(row) + r" \\" for row in rows]
    for position in sorted({*rules} - {1}, reverse=True):
        body.insert(position - 1, r"\midrule")
    below = [rf"\par\raggedright {escape(note)}" for note in notes]
    if long:
        lines = [
            r"% Needs \usepackage{booktabs,longtable}.",
            rf"{{{size}{narrow}",
            rf"\begin{{longtable}}{{{columns}}}",
            rf"{titled}\\",
            *(r"\toprule", header, r"\midrule", r"\endhead"),
            *(*body, r"\bottomrule", r"\end{longtable}"),
            *(*below, r"\par}"),
        ]
    else:
        lines = [
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table}[tp]",
            rf"\centering{size}{narrow}",
            titled,
            rf"\begin{{tabular}}{{{columns}}}",
            *(r"\toprule", header, r"\midrule"),
            *(*body, r"\bottomrule", r"\end{tabular}"),
            *(*below, r"\end{table}"),
        ]
    return "\n".join(lines)
