"""One small run, made by the scripts, that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from shrunken import CONFIG, overrides, script


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """Return a folder with a phantom and its records."""
    folder = tmp_path_factory.mktemp("workspace")
    script("make_phantom", "--config", CONFIG, *overrides(folder))
    script("build_tfrecords", "--config", CONFIG, *overrides(folder))
    return folder


@pytest.fixture(scope="session")
def finished_run(workspace: Path) -> Path:
    """Return the run directory of an uninterrupted mirrored run."""
    run_dir = workspace / "run"
    script("fit", "--config", CONFIG, "--strategy", "mirrored",
           "--run_dir", run_dir, *overrides(workspace))  # fmt: skip
    return run_dir
