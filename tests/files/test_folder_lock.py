"""One writer per folder, whatever lies where the lock belongs."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.files.folder_lock import folder_lock, waiting_lock
from tfpartial.files.system_errors import explain_refusals


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
        explain_refusals("training", tmp_path),
        folder_lock(tmp_path, "another fit"),
    ):
        pass


def test_a_second_one_that_waits_goes_on_when_the_first_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    order, begun = [], threading.Event()
    caplog.set_level(logging.INFO, "tfpartial")

    def second() -> None:
        begun.set()
        with waiting_lock(tmp_path / ".lock", tmp_path / "it", "another one"):
            order.append("second")

    with waiting_lock(tmp_path / ".lock", tmp_path / "it", "another one"):
        assert not caplog.messages
        thread = threading.Thread(target=second)
        thread.start()
        assert begun.wait(10)
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    said = f"{tmp_path / 'it'}: another one works there; waiting for it"
    assert caplog.messages == [said]
