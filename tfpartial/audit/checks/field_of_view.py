"""Scans whose size is unlike that of the others.

In: extents of all scans. Out: findings. A header in other units, a lost
spacing and a scan of another region show here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpartial.audit.checks.outliers import MIN_CASES, limit, robust_z
from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import CaseMeasures

AXES = ("left to right", "back to front", "feet to head")
# Half as long or twice as long is common between protocols.
FLOOR = 0.15


def field_of_view_findings(cases: Sequence[CaseMeasures]) -> list[Finding]:
    """Return a finding per scan and axis of an unlikely extent."""
    read = [case for case in cases if np.isfinite(case.extent_mm).all()]
    if len(read) < MIN_CASES:
        return []
    databases = [case.database for case in read]
    findings = []
    for axis, words in enumerate(AXES):
        extents = np.log([case.extent_mm[axis] for case in read])
        z = robust_z(extents, databases, FLOOR)
        for position in np.flatnonzero(np.abs(z) > limit(len(read))):
            case = read[position]
            own = [
                c.extent_mm[axis] for c in read if c.database == case.database
            ]
            findings.append(
                Finding(
                    "outlier",
                    case.database,
                    case.case,
                    "",
                    abs(float(z[position])),
                    f"The scan measures {case.extent_mm[axis]:.0f} mm from "
                    f"{words} (median {np.median(own):.0f} mm, robust z "
                    f"{z[position]:+.1f}), voxels of "
                    f"{' x '.join(f'{mm:.3g}' for mm in case.spacing_mm)} mm. "
                    f"Is its header right?",
                    quantity="extent",
                )
            )
    return findings
