"""One writer per folder, whatever lies where the lock belongs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.folder_lock import folder_lock
from tfpartial.machine import explained


def test_a_second_one_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path / "run", "another fit"),
        pytest.raises(InputError, match="another fit works there"),
        folder_lock(tmp_path / "run", "another fit"),
    ):
        pass
    with folder_lock(tmp_path / "run", "another fit"):
        pass


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_is_no_lock(tmp_path: Path, make) -> None:
    """A pipe would make its writer wait for ever."""
    make(tmp_path / ".lock")
    with (
        pytest.raises(InputError, match=r"\.lock: expected a place that can"),
        explained("training", tmp_path),
        folder_lock(tmp_path, "another fit"),
    ):
        pass
