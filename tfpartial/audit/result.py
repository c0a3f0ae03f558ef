"""Everything an audit found, and its JSON.

In: the parts. Out: `AuditResult`; names cases, never files.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import tfpartial
from tfpartial.audit.checks.disagreement import DisagreementRow
from tfpartial.audit.checks.matrix import Cell, DatabaseRow
from tfpartial.audit.checks.outliers import MIN_CASES
from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import CaseMeasures
from tfpartial.files.safe_reading import without_nan


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes:
        databases: what each declares, and its scans.
        cells: database x label.
        findings: most striking first (`finding.rank_findings`).
        disagreement: database x label against a network; empty without one.
        cases: the measures of every case.
        predicted_cases: how many were compared with a prediction.
    """

    databases: tuple[DatabaseRow, ...]
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    disagreement: tuple[DisagreementRow, ...]
    cases: tuple[CaseMeasures, ...]
    predicted_cases: int

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def count_of(self, kind: str) -> str:
        """Return how many findings of a kind; "-" if nothing was compared."""
        if kind == "disagreement" and not self.predicted_cases:
            return "-"
        return str(len(self.of_kind(kind)))

    @property
    def not_judged(self) -> tuple[str, ...]:
        """Structures that fewer than 8 cases contain: nothing is unusual."""
        containing: Counter[str] = Counter()
        for cell in self.cells:
            containing[cell.label] += cell.found
        return tuple(name for name, n in containing.items() if n < MIN_CASES)


def json_text(result: AuditResult) -> str:
    """Return the audit as JSON; NaN becomes null."""
    content = {
        "tfpartial": tfpartial.__version__,
        "notice": "Research use only",
        "databases": [asdict(row) for row in result.databases],
        "matrix": [asdict(cell) for cell in result.cells],
        "findings": [asdict(finding) for finding in result.findings],
        "not_judged": list(result.not_judged),
        "predicted_cases": result.predicted_cases,
        "disagreement": [asdict(row) for row in result.disagreement],
        "cases": [_case(case) for case in result.cases],
    }
    return json.dumps(without_nan(content), indent=1) + "\n"


def _case(case: CaseMeasures) -> dict[str, Any]:
    return {
        "database": case.database,
        "case": case.case,
        "split": case.split,
        "spacing_mm": list(case.spacing_mm),
        "extent_mm": list(case.extent_mm),
        "couch": case.couch,
        "exact_hash": case.fingerprint.exact_hash if case.fingerprint else None,
        "structures": [
            {
                "name": structure.name,
                "voxels": structure.voxels,
                "ml": structure.ml,
                "hu_percentiles": _floats(structure.hu),
                "centre_mm": _floats(structure.centre_mm),
                "length_mm": structure.length_mm,
                "largest_share": structure.largest_share,
                "at_end": structure.at_end,
            }
            for structure in case.structures
        ],
        "disagreements": [asdict(entry) for entry in case.disagreements],
        "faults": list(case.faults),
    }


def _floats(values: np.ndarray) -> list[float]:
    return [float(value) for value in values]
