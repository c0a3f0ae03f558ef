"""The same scan twice: across splits a fault, within one a warning.

In: every case of every database, with its exact voxel hash.
Out: warnings, or `InputError`. Trap 9 of tests/traps.
"""

from __future__ import annotations

from collections.abc import Iterable

from tfpartial.errors import Faults
from tfpartial.records.cases_file import CaseEntry


def check_duplicates(cases: Iterable[CaseEntry]) -> list[str]:
    """Compare every scan with every other by its exact voxel hash.

    Returns:
        One sentence per group of equal scans within one split.

    Raises:
        InputError: equal scans in different splits, each group by names.
    """
    groups: dict[str, list[CaseEntry]] = {}
    for case in cases:
        groups.setdefault(case.exact_hash, []).append(case)
    warnings = []
    with Faults() as faults:
        for group in groups.values():
            if len(group) == 1:
                continue
            names = [f"{c.database}/{c.case} ({c.split})" for c in group]
            same = " = ".join(sorted(names))
            if len({case.split for case in group}) > 1:
                faults.add(
                    f"the same scan in different splits: {same}. What is "
                    "trained on cannot be tested on: exclude one of them "
                    "('exclude:' of its database), or give both one split "
                    "('build.splits.file')."
                )
            else:
                warnings.append(f"the same scan twice in one split: {same}")
    return sorted(warnings)
