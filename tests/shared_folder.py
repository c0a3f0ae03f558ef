"""A folder that all workers of pytest-xdist share, made by the first of them.

In: a name and what fills it. Out: its path; the others wait, then read it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """Return the folder of a name; `make` fills it if nobody has.

    Nobody may change what it holds: a test that does works on a copy.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the whole run
    folder, done = base / f"shared_{name}", base / f"shared_{name}.done"
    with (base / f"shared_{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
