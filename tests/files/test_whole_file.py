"""A file is there whole, or as it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfpartial.files.whole_file import write_whole


@pytest.mark.parametrize(
    ("content", "bytes_of_it"),
    [("Größe\r\n", b"Gr\xc3\xb6\xc3\x9fe\r\n"), (b"\x00\xff", b"\x00\xff")],
)
def test_what_is_given_is_in_the_file(
    tmp_path: Path, content: str | bytes, bytes_of_it: bytes
) -> None:
    write_whole(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == bytes_of_it
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("before", [None, b"before"])
@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes | None,
    fails: str,
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    where = os if fails == "fsync" else Path
    monkeypatch.setattr(where, fails, full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"after")
    found = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    assert found == ({} if before is None else {"file": before})


def test_it_is_flushed_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        (beside,) = tmp_path.iterdir()
        seen.append((beside.name, beside.read_bytes()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "file", "all of it")
    ((name, content),) = seen
    assert name != "file"
    assert content == b"all of it"
