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

from tfpartial.evaluation.table import write_whole
from tfpartial.inference.load_network import file_hash

FOLDER = "checkpoints"
SUMS_FILE = "checksums.json"
_BEING_WRITTEN = ".epoch.tmp"
_BEING_REMOVED = ".epoch.old"
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
    epochs = [saved.epoch for saved in newest_first(run_dir)]
    epochs += [
        int(match.group(1))
        for path in (run_dir / FOLDER).glob("ckpt-*.index")
        if (match := _NAME_BEFORE.fullmatch(path.name))
    ]
    return max(epochs, default=None)


def begin(run_dir: Path, epoch: int) -> Saved:
    """Make an empty folder to write a checkpoint into."""
    folder = run_dir / FOLDER / _BEING_WRITTEN
    discard(run_dir)
    folder.mkdir(parents=True)
    return Saved(epoch, folder)


def discard(run_dir: Path) -> None:
    """Remove what a killed or failed call left half-done."""
    for name in (_BEING_WRITTEN, _BEING_REMOVED):
        shutil.rmtree(run_dir / FOLDER / name, ignore_errors=True)


def finish(run_dir: Path, written: Saved, keep: int) -> None:
    """Seal a written checkpoint, give it its name, drop the oldest.

    Until the new one has its name, every older one is kept.
    """
    sums = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(written.folder.iterdir())
    }
    write_whole(written.folder / SUMS_FILE, json.dumps(sums, indent=1))
    for path in [*written.folder.iterdir(), written.folder]:
        _flush(path)
    place = run_dir / FOLDER / f"epoch-{written.epoch:05d}"
    shutil.rmtree(place, ignore_errors=True)  # a damaged one of this epoch
    written.folder.rename(place)
    _flush(place.parent)
    for old in newest_first(run_dir)[keep:]:
        # A name that is there belongs to a whole one, to the very end.
        old.folder.rename(place.parent / _BEING_REMOVED)
        discard(run_dir)


def fault_in(saved: Saved) -> str | None:
    """Compare a checkpoint with its checksums.

    Returns:
        What is wrong with the first file that differs; None: it is intact.
    """
    try:
        text = (saved.folder / SUMS_FILE).read_text(encoding="utf-8")
        sums = {
            name: (int(found["bytes"]), str(found["sha256"]))
            for name, found in json.loads(text).items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{SUMS_FILE} cannot be read ({type(error).__name__})"
    if not any(name.endswith(".index") for name in sums):
        return f"{SUMS_FILE} names no checkpoint"
    for name, (size, sha256) in sums.items():
        path = saved.folder / Path(name).name
        if not path.is_file():
            return f"{name}: expected {size} bytes, found no file"
        if path.stat().st_size != size:
            return f"{name}: expected {size} bytes, found {path.stat().st_size}"
        found = file_hash(path)
        if found != sha256:
            return (
                f"{name}: expected sha256 {sha256} ({SUMS_FILE}), found {found}"
            )
    return None


def _flush(path: Path) -> None:
    """Make a file or folder survive a loss of power, not only a kill."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
