"""One HTML page of an audit: it needs no other file and names none.

In: an `AuditResult` and pictures. Out: text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from tfpartial.audit.disagreement import MARGIN_MM, MIN_ML
from tfpartial.audit.findings import KINDS, Finding
from tfpartial.audit.matrix import DatabaseRow
from tfpartial.audit.outliers import MIN_CASES
from tfpartial.audit.result import AuditResult

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto;
  max-width: 72em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: .8em 0; font-size: 13px; }
th, td { border-bottom: 1px solid #ddd; padding: .25em .6em;
  text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
h2 { margin-top: 2em; border-bottom: 2px solid #888; }
figure { margin: 1em 0; } figure img { max-width: 100%; }
figcaption { font-size: 13px; }
.leak { color: #b00020; font-weight: 600; }
.quiet { color: #777; }
"""


def html_page(result: AuditResult, pictures: Mapping[Finding, bytes]) -> str:
    """Return the page.

    Args:
        result: of the audit.
        pictures: finding -> PNG; they are embedded.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<title>Label audit</title>",
        f"<style>{STYLE}</style></head><body>",
        "<h1>Label audit</h1>",
        f"<p>{escape(_opening(result))}</p>",
        "<p>Research use only. A finding is a reason to look, not a verdict; "
        "no finding is no proof.</p>",
        _summary(result),
        _not_judged(result),
        "<h2>Databases</h2>",
        _databases(result.databases),
        "<h2>Database × label</h2>",
        "<p>Declared: cases that annotate the structure and could be read. "
        "Volumes over the cases that contain it; HU: median over these cases "
        "of the percentile under it.</p>",
        _matrix(result),
    ]
    for kind in KINDS:
        members = [f for f in result.findings if f.kind == kind]
        if kind == "disagreement" and result.disagreement:
            parts.append(_heading(kind, members))
            parts.append(_disagreement(result))
            parts.append(_findings(members, pictures))
        elif members:
            parts.append(_heading(kind, members))
            parts.append(_findings(members, pictures))
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _opening(result: AuditResult) -> str:
    cases = sum(sum(row.cases.values()) for row in result.databases)
    compared = (
        f" {result.predicted_cases} of them were compared with a prediction."
        if result.predicted_cases
        else " No predictions were given."
    )
    return (
        f"{cases} cases of {len(result.databases)} database(s), "
        f"{len(result.findings)} finding(s) in "
        f"{len({f.where for f in result.findings})} place(s)." + compared
    )


def _summary(result: AuditResult) -> str:
    rows = []
    for kind, (heading, _) in KINDS.items():
        members = result.of_kind(kind)
        name = (
            f"<a href='#{kind}'>{escape(heading)}</a>"
            if members
            else f"<span class='quiet'>{escape(heading)}</span>"
        )
        rows.append([name, result.count_of(kind)])
    return _table(["what", "findings"], rows, numbers={1})


def _not_judged(result: AuditResult) -> str:
    """Say which zeros above mean that nobody looked."""
    if not result.not_judged:
        return ""
    return (
        f"<p>Fewer than {MIN_CASES} cases contain "
        f"{escape(', '.join(result.not_judged))}: too few to say what is "
        f"usual. Outliers, HU that do not fit and turned cases are not looked "
        f"for there; left and right are still compared by name.</p>"
    )


def _databases(rows: Sequence[DatabaseRow]) -> str:
    header = [
        "database", "cases", "licence", "position", "couch",
        "voxels, mm (x, y, z)", "extent, mm (x, y, z)", "citation",
    ]  # fmt: skip
    return _table(
        header,
        [
            [
                escape(row.name),
                escape(_counts(row.cases)),
                escape(row.licence),
                escape(row.position),
                escape(_counts(row.couch)),
                escape(_ranges(row.spacing_mm, 3)),
                escape(_ranges(row.extent_mm, 4)),
                escape(row.citation),
            ]
            for row in rows
        ],
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))


def _ranges(pairs: Sequence[tuple[float, float]], digits: int) -> str:
    shown = [(f"{a:.{digits}g}", f"{b:.{digits}g}") for a, b in pairs]
    return " × ".join(a if a == b else f"{a}–{b}" for a, b in shown)


def _matrix(result: AuditResult) -> str:
    header = [
        "database", "label", "declared", "found", "voxels",
        "ml: min", "25 %", "median", "75 %", "max",
        "HU: 5 %", "25 %", "median", "75 %", "95 %",
    ]  # fmt: skip
    rows = [
        [
            escape(cell.database),
            escape(cell.label),
            str(cell.declared),
            str(cell.found),
            f"{cell.voxels:,}",
            *(number(value) for value in cell.ml),
            *(number(value, 0) for value in cell.hu),
        ]
        for cell in result.cells
    ]
    return _table(header, rows, numbers=set(range(2, 15)))


def _disagreement(result: AuditResult) -> str:
    header = [
        "database", "label", "cases",
        f"only the network: cases ≥ {MIN_ML:g} ml", "ml per case",
        "only the reference: cases", "ml per case", "volume ratio",
    ]  # fmt: skip
    rows = [
        [
            escape(row.database),
            escape(row.label),
            str(row.cases),
            str(row.extra_cases),
            number(row.extra_ml, 2),
            str(row.missed_cases),
            number(row.missed_ml, 2),
            number(row.volume_ratio, 2),
        ]
        for row in result.disagreement
    ]
    note = (
        f"<p>Beyond {MARGIN_MM:g} mm of the other. A volume ratio (predicted "
        f"/ reference, median) far from 1 in one database alone is its "
        f"protocol; single cases are errors of either side. A network agrees "
        f"with what it was trained on: the cases of its training say less.</p>"
    )
    return note + _table(header, rows, numbers=set(range(2, 8)))


def _heading(kind: str, members: Sequence[Finding]) -> str:
    heading, reading = KINDS[kind]
    return (
        f"<h2 id='{kind}'>{escape(heading)} ({len(members)})</h2>"
        f"<p>{escape(reading)}</p>"
    )


def _findings(
    members: Sequence[Finding], pictures: Mapping[Finding, bytes]
) -> str:
    rows = [
        [
            escape(finding.where),
            escape(finding.label),
            number(finding.score, 2),
            _marked(finding.text),
        ]
        for finding in members
    ]
    table = _table(["where", "label", "score", "finding"], rows, numbers={2})
    return table + "".join(
        _figure(finding, pictures[finding])
        for finding in members
        if finding in pictures
    )


def _marked(text: str) -> str:
    return escape(text).replace("LEAK:", "<span class='leak'>LEAK:</span>")


def _figure(finding: Finding, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    caption = f"{finding.where} {finding.label}: ".replace(" :", ":")
    return (
        f"<figure><img src='data:image/png;base64,{data}' "
        f"alt='{escape(finding.where, quote=True)}'>"
        f"<figcaption><b>{escape(caption)}</b>{_marked(finding.text)}"
        f"</figcaption></figure>"
    )


def number(value: float, digits: int = 1) -> str:
    """Return a number with a fixed number of digits; a dash for none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _table(
    header: Iterable[str],
    rows: Iterable[Iterable[str]],
    numbers: set[int] | None = None,
) -> str:
    """Return a table of cells that are HTML already."""

    def line(cells: Iterable[str], tag: str) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{tag} class='number'>{cell}</{tag}>"
                if position in (numbers or ())
                else f"<{tag}>{cell}</{tag}>"
                for position, cell in enumerate(cells)
            )
            + "</tr>"
        )

    body = "".join(line(cells, "td") for cells in rows)
    head = line((escape(word) for word in header), "th")
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
