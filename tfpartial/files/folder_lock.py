"""One writer at a time, even if the one before was killed.

In: a folder, or the path of a lock. Out: an open, locked file; the system
unlocks it when the process ends, however it ends.

Not the `filelock` package: who holds a `folder_lock` hands the open file to
its children, which keep the lock; that package gives nobody its descriptor.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tfpartial.errors import InputError

log = logging.getLogger(__name__)


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
    with _open(folder / ".lock") as file:
        if not _locked_at_once(file):
            raise InputError(
                f"{folder}: {who} works there. Wait for it, or end it, and "
                f"repeat the command."
            )
        yield file


@contextmanager
def waiting_lock(lock: Path, goal: Path, who: str) -> Iterator[None]:
    """Wait until no other process makes the same thing; say so.

    For what the second one finds made by the first.

    Args:
        lock: file of the lock; its folder exists. It stays.
        goal: what is being made, and
        who: by whom, such as "another build": for the message.
    """
    with _open(lock) as file:
        if not _locked_at_once(file):
            log.info("%s: %s works there; waiting for it", goal, who)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(lock: Path) -> IO:
    return open(lock, "a", opener=_without_waiting)


def _locked_at_once(file: IO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _without_waiting(name: str, flags: int) -> int:
    # A pipe of this name would make its writer wait for a reader.
    return os.open(name, flags | os.O_NONBLOCK, 0o666)
