"""Checkpoints on disk: whole once they have their name, and checked.

In: the run directory. Out: which checkpoints are there, and which are intact.

    checkpoints/epoch-00012/state.index
                            state.data-00000-of-00001
                            stamp.json   {key: {epoch: 12}, outputs: ...}

A checkpoint is written into a hidden folder and renamed: a name that is there
belongs to a whole one. What happens to its bytes later, its stamp shows.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tfpartial.errors import InputError
from tfpartial.files.stamp import STAMP_FILE, check_stamp, write_stamp

FOLDER = "checkpoints"
_BEING_WRITTEN = ".epoch.tmp"
_BEING_REMOVED = ".epoch.old"
_NAME = re.compile(r"epoch-(\d{5,})")


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
    checkpoints = [
        Saved(int(match.group(1)), path)
        for path in (run_dir / FOLDER).glob("epoch-*")
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(checkpoints, key=lambda saved: saved.epoch, reverse=True)


def completed_epochs(run_dir: Path) -> int | None:
    """Return the epoch of the newest checkpoint; None without checkpoints."""
    for saved in newest_first(run_dir):
        if (saved.folder / STAMP_FILE).is_file():
            return saved.epoch
    return None


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
    """Stamp a written checkpoint, give it its name, drop the oldest.

    Until the new one has its name, every older one is kept. What claims a
    later epoch goes as well: the run went back before it, so it is damaged.
    """
    write_stamp(written.folder / STAMP_FILE, {"epoch": written.epoch})
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


def find_fault(saved: Saved) -> str | None:
    """Return what is wrong with a checkpoint; None: it is intact."""
    stamp = saved.folder / STAMP_FILE
    try:
        epoch = check_stamp(stamp, "").get("epoch")
    except InputError as error:
        return " ".join(error.faults)
    if epoch != saved.epoch:
        return f"{stamp}: expected that of epoch {saved.epoch}, found {epoch}."
    return None


def _flush(path: Path) -> None:
    """Make a file or folder survive a loss of power, not only a kill."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
