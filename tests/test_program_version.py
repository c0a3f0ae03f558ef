"""The commit that a run records is that of this program, not of its place."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import tfpartial

REPOSITORY = Path(__file__).parents[1]
SOURCE = Path(tfpartial.__file__).with_name("program_version.py")
IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b.c"]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, *arguments],
        cwd=folder, check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    return done.stdout.strip()


def put_package(home: Path) -> Path:
    """Copy what knows the commit, as installed in a folder."""
    (home / "tfpartial").mkdir(parents=True)
    (home / "tfpartial" / "__init__.py").touch()
    return Path(shutil.copy(SOURCE, home / "tfpartial"))


def commit_of(module: Path) -> str | None:
    return runpy.run_path(str(module))["git_commit"]()


def make_repository(home: Path, name: str) -> str:
    """Commit everything there; return the commit."""
    (home / "setup.cfg").write_text(f"[metadata]\nname = {name}\n")
    git(home, "init", "--quiet")
    git(home, "add", "--all")
    git(home, "commit", "--quiet", "--message", "all")
    return git(home, "rev-parse", "--short=12", "HEAD")


@pytest.mark.parametrize("place", [".", "venv/site-packages"])
@pytest.mark.parametrize("name", ["other", "tfpartial"])
def test_only_its_own_repository_is_believed(
    tmp_path: Path, place: str, name: str
) -> None:
    module = put_package(tmp_path / place)
    commit = make_repository(tmp_path, name)
    is_clone = place == "." and name == "tfpartial"
    assert commit_of(module) == (commit if is_clone else None)
    (module.parent / "commit.txt").write_text("0123456789ab\n")
    if is_clone:
        module.write_text(module.read_text() + "\n")
        assert commit_of(module) == f"{commit}-dirty"
    else:
        assert commit_of(module) == "0123456789ab"


def test_without_git_and_commit_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = put_package(tmp_path)
    assert commit_of(module) is None
    make_repository(tmp_path, "tfpartial")
    monkeypatch.setenv("PATH", "")
    assert commit_of(module) is None


def test_what_is_built_knows_its_commit(tmp_path: Path) -> None:
    """Clone -> sdist -> wheel, the last two below another repository."""
    clone, other = tmp_path / "clone", tmp_path / "other"
    put_package(clone)
    shutil.copy(REPOSITORY / "setup.py", clone)
    commit = make_repository(clone, "tfpartial\nversion = 1")
    built = [sys.executable, "setup.py", "--quiet"]
    subprocess.run(
        [*built, "egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir",
         tmp_path], cwd=clone, check=True,
    )  # fmt: skip
    other.mkdir()
    make_repository(other, "other")
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(other, filter="data")
    (home,) = other.glob("tfpartial-*")
    subprocess.run(
        [*built, "build_py", "--build-lib", other / "wheel"],
        cwd=home, check=True,
    )  # fmt: skip
    for folder in (home, other / "wheel"):
        said = (folder / "tfpartial" / "commit.txt").read_text()
        assert said.strip() == commit
