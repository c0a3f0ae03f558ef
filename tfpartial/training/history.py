"""What each epoch came to, as a JSON file that a repeated epoch corrects.

In: one entry per epoch. Out: a list of them, written whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfpartial.errors import InputError
from tfpartial.evaluation.table import without_nan, write_whole


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
        if not path.exists():
            return
        try:
            self.entries = json.loads(path.read_text(encoding="utf-8"))
            [int(entry["epoch"]) for entry in self.entries]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: expected a list with an entry per epoch, found "
                f"something else ({type(error).__name__}). Bring it back from "
                f"a backup; or remove it: the run goes on, and the entries of "
                f"earlier epochs are lost."
            ) from None

    def add(self, entry: dict[str, Any]) -> None:
        """Append an entry; NaN becomes null."""
        before = [e for e in self.entries if e["epoch"] < entry["epoch"]]
        self.entries = [*before, without_nan(entry)]
        write_whole(self.path, json.dumps(self.entries, indent=1) + "\n")
