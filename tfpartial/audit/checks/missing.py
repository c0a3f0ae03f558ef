"""Annotations that are empty where those of the other cases are not.

In: measures of all cases. Out: findings: a case without any voxel, a structure
that one case of its database lacks. A file was emptied, or lost a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import CaseMeasures

# Fewer say nothing about what every case contains.
MIN_OTHERS = 4


def missing_findings(cases: Sequence[CaseMeasures]) -> list[Finding]:
    """Return a finding per empty case, and per structure that one case lacks.

    Only cases that annotate the structure are compared, and empty ones are
    not; each database on its own.
    """
    findings = []
    for database in dict.fromkeys(case.database for case in cases):
        own = [c for c in cases if c.database == database and c.structures]
        empty = [c for c in own if not any(s.voxels for s in c.structures)]
        drawn = [c for c in own if c not in empty]
        findings += [_empty_case(c, len(drawn)) for c in empty if drawn]
        findings += _missing_structures(drawn)
    return findings


def _empty_case(case: CaseMeasures, others: int) -> Finding:
    return Finding(
        "missing",
        case.database,
        case.case,
        "",
        float(others),
        f"None of its {len(case.structures)} annotated structure(s) has a "
        f"voxel; {others} other case(s) of the database are annotated. All of "
        f"it would be taught as background. Restore the annotation, or list "
        f"the case under 'exclude'.",
    )


def _missing_structures(cases: Sequence[CaseMeasures]) -> list[Finding]:
    """Return what is missing in one case alone."""
    found: dict[str, int] = {}
    lacking: dict[str, list[CaseMeasures]] = {}
    for case in cases:
        for structure in case.structures:
            if structure.voxels:
                found[structure.name] = found.get(structure.name, 0) + 1
            else:
                lacking.setdefault(structure.name, []).append(case)
    return [
        Finding(
            "missing",
            members[0].database,
            members[0].case,
            name,
            float(found[name]),
            f"'{name}' has no voxel here and is found in all other "
            f"{found[name]} case(s) that annotate it. Was its value or mask "
            f"lost, or does the scan end before it?",
        )
        for name, members in lacking.items()
        if len(members) == 1 and found.get(name, 0) >= MIN_OTHERS
    ]
