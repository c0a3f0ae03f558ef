"""What a build tells of where scans and their annotations lie.

In: cases.json of one database. Out: lines for the log and the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfpartial.errors import join_names
from tfpartial.scans.orientation import tilt_line
from tfpartial.scans.volume import SAME_GRID_MM


def tilt_lines(declared: Mapping[str, Any]) -> list[str]:
    """Return a line per scan whose voxel axes are not at right angles.

    Args:
        declared: of `describe_database`.
    """
    return [
        tilt_line(f"{declared['database']}/{c['case']}", c["shear_degrees"])
        for c in declared["cases"]
        if c["shear_degrees"]
    ]


def grid_warnings(declared: Mapping[str, Any]) -> list[str]:
    """Return a line if annotations lie beside their scans, within tolerance.

    Args:
        declared: of `describe_database`.
    """
    off_mm = {case["case"]: case["grid_off_mm"] for case in declared["cases"]}
    beside = [case for case, off in off_mm.items() if off > SAME_GRID_MM]
    if not beside:
        return []
    return [
        f"database '{declared['database']}': {len(beside)} of {len(off_mm)} "
        f"case(s) have annotations up to {max(off_mm.values()):.3g} mm beside "
        f"the voxel centres of their scan, which is within the tolerance: "
        f"{join_names(beside, 5)}"
    ]
