"""Preprocessed scans of a killed build: kept only while they are whole."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfrecords_builder.scan_cache import drop_stale, write_scan

ARRAYS = {"image": np.arange(60, dtype=np.int16), "mean": np.float64(1.5)}


@pytest.fixture
def targets(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "work" / f"case_{n}.npz" for n in (1, 2)]
    for target in found:
        write_scan(target, ARRAYS)
    return found


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(ARRAYS["image"].tobytes()) + 7] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def without_the_mean(path: Path) -> None:
    with np.load(path) as scan:
        np.savez(path, image=scan["image"], members=scan["members"])


def deflated(path: Path) -> None:
    """The same arrays; what expands may expand to anything."""
    with np.load(path) as scan:
        np.savez_compressed(path, **scan)


def folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_whole_scans_stay(targets: list[Path]) -> None:
    before = [target.read_bytes() for target in targets]
    drop_stale(targets)
    assert [target.read_bytes() for target in targets] == before
    with np.load(targets[0]) as scan:
        assert np.array_equal(scan["image"], ARRAYS["image"])


@pytest.mark.parametrize(
    "damage", [flip, cut, without_the_mean, deflated, folder, pipe]
)
def test_a_damaged_one_goes_and_is_made_again(
    targets: list[Path], damage: Callable[[Path], None]
) -> None:
    good = targets[0].read_bytes()
    damage(targets[0])
    drop_stale(targets)
    assert not os.path.lexists(targets[0])
    assert targets[1].is_file()
    write_scan(targets[0], ARRAYS)
    with zipfile.ZipFile(targets[0]) as file:
        assert file.testzip() is None
    assert len(targets[0].read_bytes()) == len(good)


def test_foreign_files_and_folders_go(targets: list[Path]) -> None:
    home = targets[0].parent
    (home / "case_3.npz.77.tmp").write_bytes(b"x")
    (home / "folder" / "inside").mkdir(parents=True)
    (home / "link").symlink_to(home.parent)
    drop_stale(targets)
    assert sorted(home.iterdir()) == sorted(targets)
