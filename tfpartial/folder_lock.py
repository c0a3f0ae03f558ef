"""One writer per folder, even if the one before was killed.

In: a folder. Out: an open, locked file; the system unlocks it when the process
ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
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
    with open(folder / ".lock", "a", opener=_without_waiting) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: {who} works there. Wait for it, or end it, and "
                f"repeat the command."
            ) from None
        yield file


def _without_waiting(name: str, flags: int) -> int:
    # A pipe of this name would make its writer wait for a reader.
    return os.open(name, flags | os.O_NONBLOCK, 0o666)
