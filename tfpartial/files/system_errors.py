"""What a machine refuses, in words: no space, no memory, not writable.

In: whatever exception a library made of it. Out: one message that says where,
what is intact, and what to do.

Libraries hide an errno in many places: NumPy and Python keep it, HDF5 and
TensorFlow write it into a text, a pool of processes just breaks.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tfpartial.errors import InputError, MachineError

Cause = Literal["full", "not_writable", "memory"]

_BY_ERRNO: dict[int | None, Cause] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "not_writable",
    errno.EACCES: "not_writable",
    errno.EPERM: "not_writable",
    errno.EISDIR: "not_writable",
    errno.ENOTDIR: "not_writable",
    errno.ELOOP: "not_writable",
    errno.ENXIO: "not_writable",
    errno.ENOMEM: "memory",
}
_NOT_PERMITTED = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))
_READ_ONLY = os.strerror(errno.EROFS)
# TensorFlow's classes by name, since this room does without it.
_BY_NAME: dict[str, Cause] = {
    "PermissionDeniedError": "not_writable",
    "ResourceExhaustedError": "memory",
}
_BY_TEXT: dict[str, Cause] = {
    os.strerror(errno.ENOSPC): "full",
    os.strerror(errno.EDQUOT): "full",
    os.strerror(errno.EFBIG): "full",
    "Not enough disk space": "full",
    _READ_ONLY: "not_writable",
    os.strerror(errno.ENOMEM): "memory",
    "bad_alloc": "memory",
}


@contextmanager
def explain_refusals(
    doing: str, folder: str | Path, less_memory: str = ""
) -> Iterator[None]:
    """Turn what the machine refuses in the body into one message.

    Args:
        doing: what the body does, such as "training".
        folder: where it writes.
        less_memory: what can be lowered, such as "build.workers".

    Raises:
        InputError: a folder cannot be written to.
        MachineError: the disk or the memory is full.
    """
    try:
        yield
    except (InputError, MachineError):
        raise
    except Exception as error:
        cause = cause_of(error)
        if cause is None:
            raise
        place = _place_of(error) or Path(folder)
        if cause == "not_writable":
            told = _last_line(error)
            expected = (
                "permission to use it"
                if told in _NOT_PERMITTED
                else "a place that can be written to"
            )
            raise InputError(
                f"{place}: expected {expected}, found '{told}' while {doing}. "
                f"Change that, or choose another place, and repeat the command."
            ) from error
        raise MachineError(_said(cause, doing, place, less_memory)) from error


def cause_of(error: BaseException) -> Cause | None:
    """Return what the machine refused; None: the error is another one."""
    for one in _chain(error):
        if isinstance(one, MemoryError | BrokenProcessPool):
            return "memory"
        if isinstance(one, OSError) and one.errno in _BY_ERRNO:
            return _BY_ERRNO[one.errno]
        text = str(one)
        for words, cause in _BY_TEXT.items():
            if words in text:
                return cause
        if type(one).__name__ in _BY_NAME:
            return _BY_NAME[type(one).__name__]
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made from."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


def _place_of(error: BaseException) -> Path | None:
    """Return the file that an error names, if it does."""
    for one in _chain(error):
        # A rename names two: the second one is where the file belongs.
        name = getattr(one, "filename2", None) or getattr(one, "filename", None)
        if isinstance(name, str) and name:
            return Path(name)
    return None


def _said(cause: Cause, doing: str, place: Path, less_memory: str) -> str:
    after = (
        "What was finished before is intact, and the same command goes on "
        "from there."
    )
    if cause == "full":
        return (
            f"{place}: expected space to write, found none "
            f"({_free_megabytes(place)} MB are free there) while {doing}. "
            f"Free some space. {after}"
        )
    lower = f", or lower {less_memory}" if less_memory else ""
    return (
        f"out of memory while {doing} ({place}). Free some memory that other "
        f"programs hold{lower}. {after}"
    )


def _free_megabytes(place: Path) -> int:
    """Return the free space where a path lies, or would."""
    there = next((p for p in [place, *place.parents] if p.exists()), Path("."))
    return shutil.disk_usage(there).free // 2**20


def _last_line(error: BaseException) -> str:
    """Return what the operating system said."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        if _READ_ONLY in str(one):
            return _READ_ONLY
    return str(error).strip().splitlines()[-1][:200]
