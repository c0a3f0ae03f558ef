"""The same scan twice: across splits a fault, within one a warning.

In: (database, case, split, exact voxel hash) of every scan.
Out: warnings, or `InputError`. Trap 9 of tests/traps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfpartial.errors import Faults


@dataclass(frozen=True)
class ScanIdentity:
    """Which scan, and what it is used for."""

    database: str
    case: str
    split: str
    exact_hash: str

    def __str__(self) -> str:
        return f"{self.database}/{self.case} ({self.split})"


def check_duplicates(scans: Iterable[ScanIdentity]) -> list[str]:
    """Compare every scan with every other by its exact voxel hash.

    Returns:
        One sentence per group of equal scans within one split.

    Raises:
        InputError: equal scans in different splits, each group by names.
    """
    groups: dict[str, list[ScanIdentity]] = {}
    for scan in scans:
        groups.setdefault(scan.exact_hash, []).append(scan)
    warnings = []
    with Faults() as faults:
        for group in groups.values():
            if len(group) == 1:
                continue
            same = " = ".join(str(scan) for scan in group)
            if len({scan.split for scan in group}) > 1:
                faults.add(
                    f"the same scan in different splits: {same}. What is "
                    "trained on cannot be tested on: exclude one of them "
                    "('exclude:' of its database), or give both one split "
                    "('build.splits.file')."
                )
            else:
                warnings.append(f"the same scan twice in one split: {same}")
    return sorted(warnings)
