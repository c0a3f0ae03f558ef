"""Stored integers of label maps, and what dataset.json says of them.

In: `values`; dataset.json of nnU-Net and of the Medical Segmentation
Decathlon. Out: its contents, and key of `values` -> stored integer.
nnU-Net v2 writes name -> int, MSD (and nnU-Net v1) int-string -> name: the
direction is detected, and refused where both or neither would fit.
Source: nnU-Net documentation/dataset_format.md; the MSD dataset.json files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tfpartial.config.database import Database
from tfpartial.databases.sources import remedy_for
from tfpartial.errors import Faults, InputError, did_you_mean, join_names, shown
from tfpartial.files.safe_reading import read_json

# At most 18 digits: more are no stored value of any file.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
MAX_LABELS = 1024
SHOWN_LABELS = 5


def read_dataset_json(database: Database) -> tuple[dict[str, Any], Path]:
    """Return the contents of `<path>/dataset.json`, and where it is.

    Raises:
        InputError: no such file, not JSON, or not a mapping.
    """
    path = Path(database.path) / "dataset.json"
    contents = read_json(
        path,
        f"the dataset.json of layout '{database.layout}'",
        f"Correct it, or 'path' or 'layout' of database '{database.name}'.",
    )
    if not isinstance(contents, dict):
        raise InputError(
            f"{path}: expected a mapping, found {type(contents).__name__}. "
            "Write it as the layout describes."
        )
    return contents, path


def refuse_channels(channels: object, where: Path) -> None:
    """Raise unless a dataset.json names at most one channel."""
    if isinstance(channels, dict | list) and len(channels) > 1:
        raise InputError(
            f"{where}: expected one channel, found {len(channels)}: "
            f"{shown(channels)}. Only single-channel CT is read. Leave the "
            "others out."
        )


def parse_labels(labels: object, path: Path) -> dict[int, str]:
    """Return stored integer -> name, whichever way the file has it.

    A region of nnU-Net's region-based training (name -> list of integers)
    names no voxel by itself: its integers are returned, without its name.

    Raises:
        InputError: ambiguous or unreadable direction, or a repeated integer
            or name.
    """
    if not isinstance(labels, dict) or not labels:
        raise InputError(
            f"{path}: expected 'labels' to map names to stored integers "
            f"(nnU-Net) or stored integers to names (MSD), found "
            f"{shown(labels)}. Write it as name -> integer."
        )
    if len(labels) > MAX_LABELS:
        raise InputError(
            f"{path}: 'labels': expected at most {MAX_LABELS} entries, found "
            f"{len(labels)}. Leave out what no voxel holds."
        )
    keys_fit = all(map(_is_integer, labels)) and all(
        isinstance(value, str) for value in labels.values()
    )
    values_fit = all(
        all(map(_is_integer, value))
        if isinstance(value, list)
        else _is_integer(value)
        for value in labels.values()
    )
    if keys_fit == values_fit:
        fits = "both readings fit" if keys_fit else "neither reading fits"
        raise InputError(
            f"{path}: 'labels': expected either name -> integer (nnU-Net) or "
            f"integer -> name (MSD), found {shown(labels)}: {fits}. Write it "
            f"as name -> integer."
        )
    pairs: list[tuple[int, str]] = []
    regions: set[int] = set()
    for key, value in labels.items():
        if keys_fit:
            pairs.append((int(key), str(value)))
        elif isinstance(value, list):
            regions.update(int(v) for v in value)
        else:
            pairs.append((int(value), str(key)))
    _refuse_repeats(pairs, path)
    named = dict(pairs)
    return {
        **{i: f"(integer {i} of a region)" for i in regions - named.keys()},
        **named,
    }


def _is_integer(value: object) -> bool:
    """Tell whether a JSON key or value is an integer or reads as one."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | str) and bool(_INTEGER.fullmatch(str(value)))


def _refuse_repeats(pairs: list[tuple[int, str]], path: Path) -> None:
    """Raise if an integer or a name stands twice."""
    with Faults() as faults:
        for side, what in ((0, "integer"), (1, "name")):
            words = [pair[side] for pair in pairs]
            for word in sorted(
                {w for w in words if words.count(w) > 1}, key=str
            ):
                faults.add(
                    f"{path}: 'labels': expected each {what} once, found the "
                    f"{what} '{word}' more than once. Give each structure an "
                    f"integer of its own."
                )


def stored_integers(database: Database, faults: Faults) -> dict[str, int]:
    """Return key of `values` -> stored integer, where keys are integers."""
    integer_of: dict[str, int] = {}
    for key in database.values:
        integer = _as_integer(key)
        if integer is None:
            faults.add(
                f"database '{database.name}': values '{key}': expected a "
                f"stored integer (layout '{database.layout}'), found '{key}'."
            )
        else:
            _add(key, integer, integer_of, database, faults)
    return integer_of


def named_integers(
    database: Database, contents: dict[str, Any], where: Path, faults: Faults
) -> dict[str, int]:
    """Return key of `values` -> stored integer, with names of dataset.json.

    Args:
        database: keys of its `values` are names, or integers.
        contents: of dataset.json.
        where: it is.
        faults: receives unreadable `labels`, a key that is no integer and no
            name, two keys of one integer, and the entries of `labels` that
            `values` leaves out, unless `others` says what they are: they
            would be taught as background.
    """
    integer_of: dict[str, int] = {}
    try:
        names = parse_labels(contents.get("labels"), where)
    except InputError as error:
        faults.add(error)
        return integer_of
    for key in database.values:
        try:
            integer = _integer_of(key, names, database, where)
        except InputError as error:
            faults.add(error)
        else:
            _add(key, integer, integer_of, database, faults)
    undeclared = {
        integer: name
        for integer, name in sorted(names.items())
        if integer not in (0, *integer_of.values())
    }
    if undeclared and database.others is None:
        found = [f"'{name}' ({i})" for i, name in undeclared.items()]
        faults.add(
            f"{where}: expected every label to be declared under 'values' of "
            f"database '{database.name}', found {len(found)} that are not: "
            f"{join_names(found, SHOWN_LABELS)}. "
            + remedy_for(next(iter(undeclared)))
        )
    return integer_of


def _add(
    key: str,
    integer: int,
    integer_of: dict[str, int],
    database: Database,
    faults: Faults,
) -> None:
    """Add a key, unless another has its integer."""
    for other in [k for k, i in integer_of.items() if i == integer]:
        faults.add(
            f"database '{database.name}': values '{other}' and '{key}' are "
            f"both the stored integer {integer}. Keep one."
        )
    integer_of[key] = integer


def _as_integer(key: str) -> int | None:
    return int(key) if _INTEGER.fullmatch(key) else None


def _integer_of(
    key: str, names: dict[int, str], database: Database, where: Path
) -> int:
    """Return the stored integer that one key of `values` means."""
    what = f"database '{database.name}': values '{key}'"
    integer = _as_integer(key)
    by_name = [i for i, name in names.items() if name == key]
    if by_name and integer is not None and by_name[0] != integer:
        raise InputError(
            f"{what}: ambiguous: {where} gives the name '{key}' to the "
            f"stored integer {by_name[0]}. Rename it there."
        )
    if by_name:
        return by_name[0]
    if integer is None or (integer not in names and integer != 0):
        known = [f"{name} ({i})" for i, name in sorted(names.items())]
        raise InputError(
            f"{what}: expected a label of {where}, found no such label "
            f"there. It has: {', '.join(known)}."
            + did_you_mean(key, names.values())
            + " Correct the name."
        )
    return integer
