"""Which program made a number: its commit and the versions it ran with."""

from __future__ import annotations

import configparser
import importlib.metadata
import subprocess
from pathlib import Path

# Written by setup.py into what is built: there git knows nothing of it.
COMMIT_FILE = "commit.txt"


def version(package: str) -> str | None:
    """Return the installed version of a package; None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the commit that this package is of; None: nobody knows.

    A clone asks git ("-dirty" tells of changes), an installed package was
    told when it was built. Git is not asked for more than that: a package
    installed below some other repository is not of *its* commit.
    """
    package = Path(__file__).resolve().parent
    try:
        if _is_clone(package.parent):
            describe = ("describe", "--always", "--dirty", "--abbrev=12")
            return _git(package, *describe)
        return (package / COMMIT_FILE).read_text("ascii").strip() or None
    except (OSError, ValueError, configparser.Error):
        return None


def _is_clone(home: Path) -> bool:
    """Tell whether a folder is the top of a repository of this package."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(home / "setup.cfg")
    if setup.get("metadata", "name", fallback=None) != "tfpartial":
        return False
    top = _git(home, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == home


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
