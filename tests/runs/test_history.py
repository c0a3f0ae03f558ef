"""metrics.json and validation.json: an epoch stands there once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.runs.history import History


def test_a_repeated_epoch_replaces_itself_and_what_came_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.json"
    first = History(path)
    for epoch in (1, 2, 3):
        first.add({"epoch": epoch, "loss": 10.0 * epoch})
    again = History(path)  # another process, after a kill
    again.add({"epoch": 2, "loss": 20.5})
    assert json.loads(path.read_text()) == [
        {"epoch": 1, "loss": 10.0},
        {"epoch": 2, "loss": 20.5},
    ]


def test_floats_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    value = 0.1 + 0.2
    History(path).add({"epoch": 1, "a": value, "b": float("nan")})
    (entry,) = History(path).entries
    assert entry == {"epoch": 1, "a": value, "b": None}


@pytest.mark.parametrize(
    "content",
    ["[", "{}x", '[{"loss": 1}]', "[1]", "3", "[" * 100_000, '{"epoch": 1}',
     '[{"epoch": "1"}]', '[{"epoch": 1e999}]', '[{"epoch": 1, "epoch": 2}]'],
)  # fmt: skip
def test_something_else_is_refused_before_training(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json: expected a list"):
        History(path)


def test_a_folder_or_a_pipe_of_that_name_is_no_history(tmp_path: Path) -> None:
    """A pipe would make its reader wait for ever."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to("link.json")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(InputError, match=f"{name}.json: expected a list"):
            History(tmp_path / f"{name}.json")
