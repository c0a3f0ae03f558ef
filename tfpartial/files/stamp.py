"""Is it done, by exactly this, and whole? One answer for every output.

In: a key (everything that an output depends on) and the files that were
written. Out: a stamp, a JSON file that is written whole after them.

    {"key": {...},
     "outputs": {"a.nii.gz": {"bytes": 52341, "sha256": "..."}},
     "sha256": of the two above}

What has no stamp is not done: a kill between an output and its stamp repeats
the work, and nothing is believed whose origin is not known. A stamp names its
outputs from its own folder: the folder can be moved and copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tfpartial.errors import Faults, InputError, shown
from tfpartial.files.safe_reading import file_hash, read_json, value_hash
from tfpartial.files.whole_file import write_whole

STAMP_FILE = "stamp.json"
# Smaller outputs are read even when it has to be quick.
QUICK_BYTES = 16 * 2**20


def write_stamp(
    path: Path,
    key: Mapping[str, Any],
    outputs: Iterable[Path] | None = None,
) -> None:
    """Vouch for outputs that are written: call it after the last of them.

    Args:
        path: the stamp; `STAMP_FILE` where it vouches for a whole folder.
        key: everything that the outputs depend on, as JSON values.
        outputs: plain files in or below the folder of the stamp; None: all
            that are there.

    Raises:
        OSError: an output cannot be read, or the stamp not be written.
        ValueError: an output lies elsewhere, or JSON does not know a value.
    """
    if outputs is None:
        names = _files_below(path.parent) - {path.name}
    else:
        names = {o.relative_to(path.parent).as_posix() for o in outputs}
    body = {
        "key": _plain(key),
        "outputs": {n: _content(path.parent / n) for n in sorted(names)},
    }
    stamp = body | {"sha256": value_hash(body)}
    # Without a line end: a stamp that lacks its last byte is damaged.
    write_whole(path, json.dumps(stamp, indent=1))


def holds(path: Path, key: Mapping[str, Any], quick: bool = False) -> bool:
    """Tell whether all outputs are there, whole, and made by exactly this.

    Args:
        path: the stamp; it need not exist.
        key: what would make them now.
        quick: of outputs above `QUICK_BYTES` compare sizes only; for a folder
            that takes minutes to read.

    Raises:
        InputError: a folder lies where the stamp belongs, so that none could
            be written after the work.
    """
    if path.is_dir():
        raise InputError(
            f"{path}: expected a stamp (JSON) or nothing, found a folder. "
            f"Remove it, or choose another place for the outputs."
        )
    try:
        return check_stamp(path, "", quick=quick) == _plain(key)
    except InputError:
        return False


def check_stamp(
    path: Path, remedy: str, quick: bool = False, alone: bool = False
) -> dict[str, Any]:
    """Compare outputs with what their stamp says of them.

    Args:
        path: the stamp.
        remedy: ends messages.
        quick: of outputs above `QUICK_BYTES` compare sizes only.
        alone: whether nothing else may lie in the folder of the stamp.

    Returns:
        The key: what made the outputs.

    Raises:
        InputError: no stamp, a damaged one, or every output that is missing,
            changed, no plain file, or (`alone`) added.
    """
    key, outputs = _read(path, remedy)
    present = _files_below(path.parent) - {path.name} if alone else set()
    with Faults() as faults:
        for name in sorted({*outputs, *present}):
            place = path.parent / name
            if name not in outputs:
                fault = "expected no such file, found one"
            else:
                fault = _fault_of(place, outputs[name], quick)
            if fault:
                faults.add(f"{place}: {fault} (as {path} says). {remedy}")
    return key


def difference(path: Path, key: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a key differs from that of a stamp.

    Without a readable stamp: every field of the key.
    """
    try:
        before, _ = _read(path, "")
    except InputError:
        return sorted(key)
    now = _plain(key)
    absent = object()
    return [
        name
        for name in sorted({*before, *now})
        if before.get(name, absent) != now.get(name, absent)
    ]


def _read(path: Path, remedy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return key and outputs of a stamp that is itself intact."""
    stamp = read_json(path, "a stamp (JSON)", remedy)
    body = dict(stamp) if isinstance(stamp, dict) else {}
    sha256 = body.pop("sha256", None)
    key, outputs = body.get("key"), body.get("outputs")
    if not (
        isinstance(key, dict)
        and isinstance(outputs, dict)
        and all(map(_is_below, outputs))
        and sha256 == value_hash(body)
    ):
        raise InputError(
            f"{path}: expected an intact stamp (JSON: key, outputs and the "
            f"sha256 of both), found {shown(stamp)}. {remedy}"
        )
    return key, outputs


def _fault_of(path: Path, told: Any, quick: bool) -> str:
    """Return what is wrong with an output; "": it is as its stamp says."""
    if path.is_symlink() or not path.is_file():
        found = "no plain file" if os.path.lexists(path) else "none"
        return f"expected a file, found {found}"
    expected = told if isinstance(told, dict) else {}
    for name, value in _content(path, quick).items():
        if value != expected.get(name):
            return f"expected {name} {shown(expected.get(name))}, found {value}"
    return ""


def _content(path: Path, quick: bool = False) -> dict[str, Any]:
    size = path.stat().st_size
    if quick and size > QUICK_BYTES:
        return {"bytes": size}
    return {"bytes": size, "sha256": file_hash(path)}


def _files_below(folder: Path) -> set[str]:
    """Return every file and link below a folder, named as outputs are."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _plain(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key as it comes back from JSON: tuples become lists."""
    return json.loads(json.dumps(key, allow_nan=False))
