"""An exported SavedModel folder, checked as before it is loaded."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.corpus import (
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from fuzz.documents import json_faults
from tfpartial.export.files import LABELS_FILE, check_export
from tfpartial.files.stamp import STAMP_FILE, write_stamp


def prepare(folder: Path) -> None:
    """Write the files of an export; no byte of them is loaded here."""
    home = folder / "export"
    draw = random.Random(0)
    for name in (
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(draw.randbytes(3000))
    (home / LABELS_FILE).parent.mkdir()
    about = {"notice": "Research use only", "weights_sha256": "0" * 64}
    (home / LABELS_FILE).write_text(json.dumps(about))
    write_stamp(home / STAMP_FILE, about)


def read(folder: Path) -> dict[str, Any]:
    """Check the export; return its description."""
    return check_export(folder / "export")


def _files(folder: Path) -> list[Path]:
    found = (folder / "export").rglob("*")
    return sorted(path for path in found if path.is_file())


def _one(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = draw.choice(_files(folder))
        change(path, draw)
        return (path.name, STAMP_FILE)

    return mutate


def _extra(folder: Path, draw: random.Random) -> tuple[str, ...]:
    place = folder / "export" / draw.choice(["", "assets", "variables"])
    (place / "extra.py").write_text("raise SystemExit\n")
    return ("extra.py",)


def _no_folder(folder: Path, draw: random.Random) -> tuple[str, ...]:
    home = folder / "export"
    shutil.rmtree(home)
    if draw.random() < 0.5:
        home.mkdir()
    return ("export",)


def _link(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(draw.choice(["/etc/hostname", "nowhere", path.name]))


READER = Reader(
    "SavedModel",
    prepare,
    read,
    (
        Fault("file missing", _one(lambda path, draw: path.unlink())),
        Fault("file truncated", _one(truncate)),
        Fault("bits flipped", _one(flip_bits)),
        Fault("another file", _one(replace_by_other)),
        Fault("link elsewhere", _one(_link)),
        Fault("extra file", _extra),
        Fault("folder missing", _no_folder),
        *(
            Fault(f"stamp: {fault.name}", fault.mutate)
            for fault in json_faults(lambda f: f / "export" / STAMP_FILE)
        ),
    ),
)
