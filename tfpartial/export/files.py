"""The files of an export: whole and alone, or not loaded.

In: an export folder. Out: what `assets/labels.json` says.

A SavedModel is a graph that runs. Only what an export wrote is handed to
TensorFlow: a missing, changed or added file is named instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfpartial.files.stamp import STAMP_FILE, check_stamp

LABELS_FILE = "assets/labels.json"


def check_export(folder: str | Path) -> dict[str, Any]:
    """Compare an export with its stamp.

    Returns:
        What made it, which is also what `assets/labels.json` says.

    Raises:
        InputError: no export there; every file that is missing, added or
            another than was written.
    """
    remedy = "Copy the export again, or export the run again."
    return check_stamp(Path(folder) / STAMP_FILE, remedy, alone=True)
