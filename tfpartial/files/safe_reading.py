"""Text files that others wrote: read whole, plainly, or refused.

In: a path. Out: dicts, lists, texts and numbers, nothing else.

Nothing that is read here runs code, names another object or grows in memory:
only plain types, no key twice, no text that UTF-8 cannot hold, sizes and
depths that a person or a program of ours would write.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tfpartial.errors import InputError, shown

MAX_JSON_BYTES = 32 * 2**20
MAX_YAML_BYTES = 2 * 2**20
# Deeper than any section; libyaml's composer recurses without a limit.
MAX_YAML_DEPTH = 50
# Values after every alias (*name) is replaced by what it stands for.
MAX_YAML_VALUES = 200_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_json(path: Path, what: str, remedy: str) -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        what: names it in messages, such as "the splits (JSON)".
        remedy: ends messages.

    Raises:
        InputError: absent, unreadable, larger than 32 MiB, not UTF-8, not
            JSON (NaN and infinity are not), or a key that stands twice.
    """
    text = read_text(path, what, MAX_JSON_BYTES, remedy)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected {what}, found text that is not valid JSON: "
            f"{_reason(error)}. {remedy}"
        ) from None
    return value


def read_yaml(path: Path, what: str, remedy: str) -> Any:
    """Return what a YAML file holds; see `plain_yaml`.

    Raises:
        InputError: absent, unreadable, larger than 2 MiB, not UTF-8, or not
            plain YAML.
    """
    text = read_text(path, what, MAX_YAML_BYTES, remedy)
    try:
        return plain_yaml(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected {what}, found text that is not valid YAML: "
            f"{_reason(error)}. {remedy}"
        ) from None


def plain_yaml(text: str) -> Any:
    """Return a YAML document of plain values.

    Aliases are allowed while they stay small: nine lines of aliases of
    aliases can stand for 10^9 values. Each becomes a copy of its own.

    Raises:
        ValueError: not YAML, a tag of an object, a key that stands twice,
            nested too deeply, too many values.
    """
    if _SURROGATE.search(text):
        raise ValueError("half of a UTF-16 pair is no character")
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_nodes(node)
            return _copy(loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        text = str(error).replace(' in "<unicode string>",', " at")
        raise ValueError(text) from None
    except (KeyError, AttributeError, OverflowError) as error:
        # What constructors of a tag such as !!bool let through.
        raise ValueError(f"a value does not fit its tag ({error})") from None


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_nan(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None, at any depth."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def value_hash(value: Any) -> str:
    """Return the sha256 of a JSON-able value, as hex; keys are sorted."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path, what: str, most_bytes: int, remedy: str) -> str:
    """Return a text file as it stands, line ends included.

    Raises:
        InputError: absent, unreadable, no file, larger, or not UTF-8.
    """
    found = ""
    try:
        data = _bytes_of(path, most_bytes + 1)
        if len(data) <= most_bytes:
            return data.decode("utf-8")
        found = f"more than {most_bytes // 2**20} MiB"
    except UnicodeDecodeError as error:
        found = f"bytes that are not UTF-8 text (at byte {error.start})"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        found = "none" if isinstance(error, FileNotFoundError) else reason
    raise InputError(f"{path}: expected {what}, found {found}. {remedy}")


def _bytes_of(path: Path, most_bytes: int) -> bytes:
    """Read the beginning of a file; a pipe or a device is none.

    Raises:
        OSError: it cannot be read.
    """

    def without_waiting(name: str, flags: int) -> int:
        # A pipe would make its reader wait for a writer.
        return os.open(name, flags | os.O_NONBLOCK)

    with open(path, "rb", opener=without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device")
        return file.read(most_bytes)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the mapping of the pairs; the last of two equal keys would win."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} stands twice")
    return mapping


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_depth(text: str) -> None:
    """Stop at the first value that is nested too deeply.

    Raises:
        ValueError: deeper than `MAX_YAML_DEPTH`.
        yaml.YAMLError: the text up to there is not YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise ValueError(f"nested more than {MAX_YAML_DEPTH} levels deep")


def _check_nodes(root: yaml.Node) -> None:
    """Count values as if every alias were written out; find repeated keys.

    Raises:
        ValueError: too many, an alias of something around itself, or a key
            twice in one mapping.
    """
    sizes: dict[int, int | None] = {}

    def size_of(node: yaml.Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise ValueError("an alias stands for what it is part of")
            return known
        sizes[id(node)] = None
        size = 1 + sum(map(size_of, _children(node)))
        if size > MAX_YAML_VALUES:
            raise ValueError(
                f"more than {MAX_YAML_VALUES} values once its aliases are "
                "replaced"
            )
        sizes[id(node)] = size
        return size

    size_of(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = (key.tag, key.value) if key.id == "scalar" else id(key)
            if name in seen:
                raise ValueError(f"the key {shown(key.value)} stands twice")
            seen.add(name)
            yield key
            yield value


def _copy(value: Any) -> Any:
    """Copy lists and mappings: an override of one must not change another."""
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copy(entry) for entry in value]
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).rstrip(".")
