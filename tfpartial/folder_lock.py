"""One writer per folder, even if the one before was killed.

In: a folder. Out: an open, locked file; the system unlocks it when the process
ends, however it ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tfpartial.errors import InputError


@contextmanager
def folder_lock(folder: Path, who: str) -> Iterator[IO]:
    """Let only one process work in a folder; make the folder.

    Args:
        folder: to be locked.
        who: what else may be working there, such as "another fit".

    Yields:
        The locked file, for child processes that should keep it.

    Raises:
        InputError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: {who} works there. Wait for it, or end it, and "
                f"repeat the command."
            ) from None
        yield file
