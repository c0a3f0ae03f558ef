"""What it means that two scans are one: a sentence, and the leak.

In: pairs of scans. Out: findings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpartial.audit.finding import Finding
from tfpartial.audit.same_scan.fingerprint import UNTURNED, Fingerprint
from tfpartial.audit.same_scan.pairs import SameScan


def same_scan_findings(pairs: Sequence[SameScan]) -> list[Finding]:
    """Return a finding per pair, with the leak that it would cause."""
    findings = []
    for pair in pairs:
        a, b = sorted((pair.a, pair.b), key=lambda scan: scan.name)
        parts = [
            f"{a.name} ({a.split}) and {b.name} ({b.split}) are the same scan"
            + _changes(pair)
            + "."
        ]
        if a.split != b.split:
            parts.append(
                f"LEAK: one is in {a.split}, the other in {b.split}. Exclude "
                f"one of them, or give both one split."
            )
        parts.append(
            "The build's exact hash finds it too."
            if pair.exact
            else "The build's exact hash does not find it."
        )
        findings.append(
            Finding(
                "same_scan",
                b.database,
                b.case,
                "",
                pair.match.correlation,
                " ".join(parts),
                (a.name,),
            )
        )
    return findings


def _changes(pair: SameScan) -> str:
    """Say what was done to the copy."""
    words = []
    if pair.lost_spacing:
        words.append("the spacing of one is lost")
    elif not np.allclose(pair.a.spacing_mm, pair.b.spacing_mm, rtol=0.02):
        words.append(f"{_mm(pair.a)} against {_mm(pair.b)}")
    if pair.turn != UNTURNED:
        words.append("their headers give the axes other directions")
    if pair.match.overlap < 0.98:
        words.append(f"{pair.match.overlap:.0%} of the smaller body is common")
    return f" ({'; '.join(words)})" if words else ""


def _mm(scan: Fingerprint) -> str:
    return " x ".join(f"{mm:.3g}" for mm in scan.spacing_mm) + " mm"
