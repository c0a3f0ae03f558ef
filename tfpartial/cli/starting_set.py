"""`tfpartial init`: a commented set of configs to edit.

In: the set that the package brings along. Out: copies of its files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tfpartial.config.shipped import STARTING_SET
from tfpartial.errors import Faults


def copy_starting_set(folder: Path) -> list[Path]:
    """Copy every file of the starting set into a folder, made if needed.

    Returns:
        The files written.

    Raises:
        InputError: one is there already, or the folder is a file; then
            nothing is written.
    """
    sources = sorted(STARTING_SET.iterdir())
    targets = [folder / source.name for source in sources]
    with Faults() as faults:
        if folder.exists() and not folder.is_dir():
            faults.add(
                f"{folder}: expected a folder, found a file. Name another."
            )
        for target in targets:
            if target.exists():
                faults.add(
                    f"{target}: expected no such file, found one: init "
                    f"overwrites nothing. Name another folder."
                )
    folder.mkdir(parents=True, exist_ok=True)
    for source, target in zip(sources, targets, strict=True):
        shutil.copyfile(source, target)
    return targets
