"""Which program made a number: its commit and the versions it ran with."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path


def version(package: str) -> str | None:
    """Return the installed version of a package; None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return commit (with "-dirty") of the checkout this file stands in."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
