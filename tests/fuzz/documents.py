"""Mutations of any JSON document, wherever it is read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.corpus import Fault, flip_bits, replace_by_other, truncate

Place = tuple[Any, ...]
WRONG = (None, True, -1, 0.5, "x", [], {}, [[]], 10**30, {"x": [1]}, "\x1b[2J")


def places(value: Any, place: Place = ()) -> list[Place]:
    """Return the way to every node of a document but its root."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    found = []
    for key, child in children:
        found += [(*place, key), *places(child, (*place, key))]
    return found


def parent_of(document: Any, place: Place) -> Any:
    """Return the list or mapping that holds a node."""
    for key in place[:-1]:
        document = document[key]
    return document


def json_faults(
    where: Callable[[Path], Path],
    *,
    unseal: Callable[[dict], dict] | None = None,
    flips: bool = True,
    free: tuple[str, ...] = (),
) -> tuple[Fault, ...]:
    """Return the faults that any JSON file may have.

    Args:
        where: folder -> the file.
        unseal: takes a checksum away, so that the faults behind it are met.
        flips: whether every bit of the file matters or is guarded.
        free: keys that may hold anything, wherever they stand.
    """

    def fault(
        name: str, change: Callable[[Path, random.Random], None]
    ) -> Fault:
        def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
            path = where(folder)
            change(path, draw)
            return (path.name, path.parent.name)

        return Fault(name, mutate)

    def edited(name: str, edit: Callable[[Any, random.Random], Any]) -> Fault:
        def change(path: Path, draw: random.Random) -> None:
            document = json.loads(path.read_text(encoding="utf-8"))
            if unseal and draw.random() < 0.8:
                document = unseal(document)
            document = edit(document, draw)
            path.write_text(json.dumps(document), encoding="utf-8")

        return fault(name, change)

    def chosen(document: Any) -> list[Place]:
        return [p for p in places(document) if not {*p} & {*free}]

    def wrong_type(document: Any, draw: random.Random) -> Any:
        place = draw.choice(chosen(document))
        holder = parent_of(document, place)
        before = holder[place[-1]]
        others = [w for w in WRONG if type(w) is not type(before)]
        holder[place[-1]] = draw.choice(others)
        return document

    def without(document: Any, draw: random.Random) -> Any:
        place = draw.choice(chosen(document))
        del parent_of(document, place)[place[-1]]
        return document

    found = [
        fault("truncated", truncate),
        fault("another file", replace_by_other),
        fault("not plain JSON", _not_plain),
        edited("wrong type", wrong_type),
        edited("entry missing", without),
        edited("another root", lambda document, draw: draw.choice(WRONG)),
    ]
    if flips:
        found.append(fault("bits flipped", flip_bits))
    return tuple(found)


def _not_plain(path: Path, draw: random.Random) -> None:
    """Write what parsers take that should not be taken, or choke on."""
    text = path.read_text(encoding="utf-8")
    kinds: list[bytes] = [
        b"\xff\xfe" + text.encode("utf-16-le"),
        b"\xef\xbb\xbf" + text.encode(),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        text.replace("{", '{"x": NaN, ', 1).encode(),
        text.replace("{", '{"x": -Infinity, ', 1).encode(),
        text.replace("{", '{"x": "\\ud800", ', 1).encode(),
        text.replace("{", '{"x": 1, "x": 2, ', 1).encode(),
        text.replace("{", '{"x": ' + "9" * 10_000 + ", ", 1).encode(),
        text.replace("{", '{"x": 1e999, ', 1).encode(),
        b" " * (33 * 2**20),
        text.encode() + b"\0",
        text.encode() + text.encode(),
        text.replace('"', "'").encode(),
    ]
    path.write_bytes(draw.choice(kinds))
