"""Where the things of a run lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tfpartial.errors import InputError

Which = Literal["student", "teacher"]


class RunDir:
    """Names everything in a run directory.

    Attributes:
        path: the directory.
        config: every field of the experiment, YAML.
        about: what began the run and what went on with it, JSON.
        splits: who trained and who did not; `build.splits.file` takes it.
        metrics: an entry per epoch, JSON.
        validation: an entry per epoch with whole-scan validation, JSON.
        checkpoints: a folder for each, see `checkpoint_files`.
        tensorboard: event files.
    """

    def __init__(self, path: str | Path) -> None:
        """Name what is, or will be, below a folder."""
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.about = self.path / "run.json"
        self.splits = self.path / "splits.json"
        self.metrics = self.path / "metrics.json"
        self.validation = self.path / "validation.json"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"

    def weights(self, which: str) -> Path:
        """Return the weights file of a network, such as "student"."""
        return self.path / f"{which}.weights.h5"


def config_of_run(run_dir: str | Path) -> Path:
    """Return the config of a run.

    Raises:
        InputError: the folder is not a run.
    """
    files = RunDir(run_dir)
    if not files.config.is_file():
        raise InputError(
            f"{files.path}: expected a run folder with {files.config.name}, "
            f"found {'none in it' if files.path.is_dir() else 'no such folder'}"
            f". Run fit first, or name the run_dir of a finished fit."
        )
    return files.config
