"""What each epoch came to, as a JSON file that a repeated epoch corrects.

In: one entry per epoch. Out: a list of them, written whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tfpartial.errors import InputError, shown
from tfpartial.files.safe_reading import read_json, without_nan
from tfpartial.files.whole_file import write_whole


class History:
    """A file of entries with rising `epoch`.

    A run that was killed repeats the epoch after its last checkpoint: its
    entry replaces the one that may be there, and those of later epochs.
    """

    def __init__(self, path: Path) -> None:
        """Read what an earlier call of the run wrote.

        Args:
            path: the file; it need not exist.

        Raises:
            InputError: the file is something else.
        """
        self.path = path
        self.entries: list[dict[str, Any]] = []
        if not os.path.lexists(path):
            return
        what = "a list with an entry per epoch"
        remedy = (
            "Bring it back from a backup; or remove it: the run goes on, and "
            "the entries of earlier epochs are lost."
        )
        entries = read_json(path, what, remedy)
        if not (isinstance(entries, list) and all(map(_is_entry, entries))):
            raise InputError(
                f"{path}: expected {what}, found {shown(entries)}. {remedy}"
            )
        self.entries = entries

    def add(self, entry: dict[str, Any]) -> None:
        """Append an entry; NaN becomes null."""
        before = [e for e in self.entries if e["epoch"] < entry["epoch"]]
        self.entries = [*before, without_nan(entry)]
        write_whole(self.path, json.dumps(self.entries, indent=1) + "\n")


def _is_entry(entry: Any) -> bool:
    # True is an int for Python.
    return isinstance(entry, dict) and type(entry.get("epoch")) is int
