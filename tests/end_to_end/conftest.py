"""One small run, made by the scripts, that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_folder import made_once
from shrunken import CONFIG, overrides, script


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a phantom and its records."""

    def make(folder: Path) -> None:
        script("make_phantom", "--config", CONFIG, *overrides(folder))
        script("build_tfrecords", "--config", CONFIG, *overrides(folder))

    return made_once(tmp_path_factory, "workspace", make)


@pytest.fixture(scope="session")
def finished_run(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the run directory of an uninterrupted mirrored run.

    Only read: other tests look at it at the same time.
    """

    def make(folder: Path) -> None:
        script("fit", "--config", CONFIG, "--strategy", "mirrored",
               "--run_dir", folder, *overrides(workspace))  # fmt: skip

    return made_once(tmp_path_factory, "finished_run", make)
