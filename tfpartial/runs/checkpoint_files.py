"""Checkpoints on disk: whole once they have their name, checked by hash.

In: the run directory. Out: which checkpoints are there, and which are intact.

    checkpoints/epoch-00012/state.index
                            state.data-00000-of-00001
                            checksums.json   {file: {bytes, sha256}}

A checkpoint is written into a hidden folder and renamed: a name that is there
belongs to a whole one. What happens to its bytes later, the hashes show.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tfpartial.errors import InputError, shown
from tfpartial.files.safe_reading import file_hash, read_json
from tfpartial.files.whole_file import write_whole

FOLDER = "checkpoints"
SUMS_FILE = "checksums.json"
_BEING_WRITTEN = ".epoch.tmp"
_BEING_REMOVED = ".epoch.old"
_KINDS = {".index", ".data"}
_NAME = re.compile(r"epoch-(\d{5,})")
# Written before checkpoints were folders; TensorFlow's own CRC guards them.
_NAME_BEFORE = re.compile(r"ckpt-(\d+)\.index")


@dataclass(frozen=True)
class Saved:
    """One checkpoint.

    Attributes:
        epoch: completed epochs.
        folder: where its files lie.
    """

    epoch: int
    folder: Path

    @property
    def prefix(self) -> str:
        """What `tf.train.Checkpoint` takes for a file name."""
        return str(self.folder / "state")


def newest_first(run_dir: Path) -> list[Saved]:
    """Return the checkpoints of a run, damaged ones too."""
    found = [
        Saved(int(match.group(1)), path)
        for path in (run_dir / FOLDER).glob("epoch-*")
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda saved: saved.epoch, reverse=True)


def completed_epochs(run_dir: Path) -> int | None:
    """Return the epoch of the newest checkpoint; None without checkpoints."""
    epochs = [
        saved.epoch
        for saved in newest_first(run_dir)
        if (saved.folder / SUMS_FILE).is_file()
    ]
    epochs += [saved.epoch for saved in _of_earlier_format(run_dir)]
    return max(epochs, default=None)


def earlier_format(run_dir: Path) -> Path | None:
    """Return what the newest checkpoint without a folder is called, if any."""
    found = _of_earlier_format(run_dir)
    return max(found, key=lambda saved: saved.epoch).folder if found else None


def _of_earlier_format(run_dir: Path) -> list[Saved]:
    return [
        Saved(int(match.group(1)), path.with_suffix(""))
        for path in (run_dir / FOLDER).glob("ckpt-*.index")
        if (match := _NAME_BEFORE.fullmatch(path.name))
    ]


def begin(run_dir: Path, epoch: int) -> Saved:
    """Make an empty folder to write a checkpoint into."""
    folder = run_dir / FOLDER / _BEING_WRITTEN
    discard(run_dir)
    folder.mkdir(parents=True)
    return Saved(epoch, folder)


def discard(run_dir: Path) -> None:
    """Remove what a killed or failed call left half-done."""
    for name in (_BEING_WRITTEN, _BEING_REMOVED):
        _remove(run_dir / FOLDER / name)


def _remove(path: Path) -> None:
    """Remove a folder, or the file or link that has its name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def finish(run_dir: Path, written: Saved, keep: int) -> None:
    """Seal a written checkpoint, give it its name, drop the oldest.

    Until the new one has its name, every older one is kept. What claims a
    later epoch goes as well: it is damaged, since the run went back before it.
    """
    sums = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(written.folder.iterdir())
    }
    write_whole(written.folder / SUMS_FILE, json.dumps(sums, indent=1))
    for path in [*written.folder.iterdir(), written.folder]:
        _flush(path)
    place = run_dir / FOLDER / f"epoch-{written.epoch:05d}"
    _remove(place)  # a damaged one of this epoch
    written.folder.rename(place)
    _flush(place.parent)
    saved = newest_first(run_dir)
    later = sum(one.epoch > written.epoch for one in saved)
    for old in [*saved[:later], *saved[later + keep :]]:
        # A name that is there belongs to a whole one, to the very end.
        old.folder.rename(place.parent / _BEING_REMOVED)
        discard(run_dir)


def fault_in(saved: Saved) -> str | None:
    """Compare a checkpoint with its checksums.

    Returns:
        What is wrong with the first file that differs; None: it is intact.
    """
    try:
        sums = read_json(saved.folder / SUMS_FILE, "checksums (JSON)", "")
    except InputError as error:
        return str(error).removeprefix(f"{saved.folder}/").rstrip(". ")
    if not isinstance(sums, dict) or not {*map(_kind, sums)} >= _KINDS:
        return (
            f"{SUMS_FILE}: expected the sums of an index and its data, found "
            f"{shown(sums)}"
        )
    for name, told in sums.items():
        expected = told if isinstance(told, dict) else {}
        path = saved.folder / Path(name).name
        if not path.is_file():
            return f"{name}: expected a file (of {SUMS_FILE}), found none"
        size, told_size = path.stat().st_size, expected.get("bytes")
        if size != told_size:
            return f"{name}: expected {shown(told_size)} bytes, found {size}"
        found, told_hash = file_hash(path), expected.get("sha256")
        if found != told_hash:
            return (
                f"{name}: expected sha256 {shown(told_hash)} ({SUMS_FILE}), "
                f"found {found}"
            )
    return None


def _kind(name: str) -> str:
    """Return ".index", ".data" or what else a file of a checkpoint is."""
    return Path(name).suffix.partition("-")[0]


def _flush(path: Path) -> None:
    """Make a file or folder survive a loss of power, not only a kill."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
