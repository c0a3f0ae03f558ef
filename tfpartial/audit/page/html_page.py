"""One HTML page of an audit: it needs no other file and names none.

In: an `AuditResult` and pictures. Out: text; its words and its look stand in
`page.html.j2`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from tfpartial.audit.checks.disagreement import MARGIN_MM, MIN_ML
from tfpartial.audit.checks.outliers import MIN_CASES
from tfpartial.audit.finding import KINDS, Finding
from tfpartial.audit.result import AuditResult


def html_page(result: AuditResult, pictures: Mapping[Finding, bytes]) -> str:
    """Return the page.

    Args:
        result: of the audit.
        pictures: finding -> PNG; they are embedded.
    """
    engine = Environment(
        loader=PackageLoader("tfpartial.audit.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    engine.filters["number"] = number
    return engine.get_template("page.html.j2").render(
        result=result,
        kinds=KINDS,
        num_cases=sum(sum(row.cases.values()) for row in result.databases),
        min_cases=MIN_CASES,
        margin_mm=f"{MARGIN_MM:g}",
        min_ml=f"{MIN_ML:g}",
        database_rows=_database_rows(result),
        label_rows=_label_rows(result),
        disagreement_rows=_disagreement_rows(result),
        pictures={
            finding: base64.b64encode(png).decode("ascii")
            for finding, png in pictures.items()
        },
    )


def _database_rows(result: AuditResult) -> list[list[str]]:
    return [
        [
            row.name,
            _counts(row.cases),
            row.licence,
            row.position,
            _counts(row.couch),
            _ranges(row.spacing_mm, 3),
            _ranges(row.extent_mm, 4),
            row.citation,
        ]
        for row in result.databases
    ]


def _label_rows(result: AuditResult) -> list[list[str]]:
    return [
        [
            cell.database,
            cell.label,
            str(cell.declared),
            str(cell.found),
            f"{cell.voxels:,}",
            *(number(value) for value in cell.ml),
            *(number(value, 0) for value in cell.hu),
        ]
        for cell in result.cells
    ]


def _disagreement_rows(result: AuditResult) -> list[list[str]]:
    return [
        [
            row.database,
            row.label,
            str(row.cases),
            str(row.extra_cases),
            number(row.extra_ml, 2),
            str(row.missed_cases),
            number(row.missed_ml, 2),
            number(row.volume_ratio, 2),
        ]
        for row in result.disagreement
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))


def _ranges(pairs: Sequence[tuple[float, float]], digits: int) -> str:
    ends = [(f"{a:.{digits}g}", f"{b:.{digits}g}") for a, b in pairs]
    return " × ".join(a if a == b else f"{a}–{b}" for a, b in ends)


def number(value: float, digits: int = 1) -> str:
    """Return a number with a fixed number of digits; a dash for none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
