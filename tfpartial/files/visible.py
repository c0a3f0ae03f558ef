"""What lies in a folder for its owner to see.

In: a folder. Out: its entries without hidden ones.
"""

from __future__ import annotations

from pathlib import Path


def visible_entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted; nothing where it is none.

    Hidden files are nobody's scans: macOS writes `._scan.nii.gz` beside
    `scan.nii.gz`. Links that lead nowhere are entries.
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name[0] != ".")
