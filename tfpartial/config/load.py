"""YAML files and overrides -> `Experiment`, with every fault at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tfpartial.config.cross_checks import check_meaning
from tfpartial.config.experiment import Experiment, Phantom
from tfpartial.config.shipped import find_config
from tfpartial.config.validate import validate
from tfpartial.errors import Faults, InputError, shown
from tfpartial.files.safe_reading import plain_yaml, read_yaml
from tfpartial.files.whole_file import write_whole

PHANTOM = "phantom:"


def load_experiment(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    replaced: Mapping[str, str] | None = None,
    trust_code: bool | None = None,
) -> Experiment:
    """Read a config file, apply `a.b=value` overrides, check everything.

    Relative paths inside a file are relative to that file, except
    `records_dir`, `run_dir` and `phantom.path`, which are outputs and stay
    relative to the working directory. A database path `phantom:<name>` is
    the folder `<name>` of the built-in data below `phantom.path`.

    Args:
        path: the config file, or the name of a shipped one ("phantom").
        overrides: `a.b=value`, the value in YAML; `databases.0.exclude=[x]`
            names an item of a list by its position.
        replaced: field -> text taken as it stands, after the overrides.
        trust_code: whether a network from outside this package may be
            imported; None: no network is needed, and none is imported.

    Raises:
        InputError: with every fault found.
    """
    path = find_config(path, "label_space")
    raw = read_mapping(path)
    faults = Faults()
    files = _expand(raw, path, faults)
    for override in overrides:
        apply_override(raw, override, faults)
    for dotted, text in (replaced or {}).items():
        _set(raw, dotted, text, faults)
    _place_phantom(raw, path, faults)
    _anchor_overridden(raw)
    faults.raise_if_any()
    context = {"trust_code": trust_code}
    experiment = validate(Experiment, raw, path, context, files)
    check_meaning(experiment, path)
    return experiment


def override_experiment(
    experiment: Experiment, overrides: Sequence[str], path: Path
) -> Experiment:
    """Return an experiment with `a.b=value` overrides, checked like a file.

    Args:
        experiment: complete; whether its code is trusted holds for the
            overrides as well.
        overrides: as in `load_experiment`.
        path: where the experiment was declared; begins messages.

    Raises:
        InputError: with every fault found.
    """
    raw = experiment.model_dump(mode="json")
    with Faults() as faults:
        for override in overrides:
            apply_override(raw, override, faults)
    # An override must not bring in code that nobody trusted.
    context = {"trust_code": experiment.network.trust_code}
    changed = validate(Experiment, raw, path, context)
    check_meaning(changed, path)
    return changed


def write_resolved(experiment: Experiment, path: str | Path) -> None:
    """Write every field, defaults included, as YAML that loads again.

    The file appears whole or not at all.
    """
    text = yaml.safe_dump(
        experiment.model_dump(mode="json"), sort_keys=False, width=78
    )
    write_whole(Path(path), text)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: absent, not YAML, or something else.
    """
    raw = read_yaml(path, "a YAML file", "Correct the file or its path.")
    if not isinstance(raw, dict):
        raise InputError(
            f"{path}: expected a mapping of sections, found "
            f"{type(raw).__name__}. Write 'name: value' lines."
        )
    return raw


def _expand(
    raw: dict[str, Any], path: Path, faults: Faults
) -> dict[tuple[str | int, ...], Path]:
    """Replace file references of label_space and databases by contents.

    Returns:
        ("databases", position) -> the file that it was read from.
    """
    files: dict[tuple[str | int, ...], Path] = {}
    space = raw.get("label_space")
    if isinstance(space, str):
        with faults.collect():
            raw["label_space"] = _labels_of(path.parent / space)
    databases = raw.get("databases")
    if not isinstance(databases, list):
        return files
    for position, entry in enumerate(databases):
        home = path
        if isinstance(entry, str):
            home = files["databases", position] = path.parent / entry
            try:
                entry = databases[position] = read_mapping(home)
            except InputError as error:
                faults.add(error)
                continue
        place = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(place, str) and not place.startswith(PHANTOM):
            entry["path"] = _resolve(place, home, faults)
    splits = _splits_of(raw)
    if isinstance(splits.get("file"), str):
        splits["file"] = _resolve(splits["file"], path, faults)
    return files


def _labels_of(path: Path) -> Any:
    """Return the `labels` of a label space file, which holds nothing else."""
    contents = read_mapping(path)
    if list(contents) != ["labels"]:
        raise InputError(
            f"{path}: expected the one key 'labels', found "
            f"{shown(list(contents))}. Write the labels below 'labels:'."
        )
    return contents["labels"]


def _splits_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the section build.splits; an empty one if it is no section."""
    build = raw.get("build")
    splits = build.get("splits") if isinstance(build, dict) else None
    return splits if isinstance(splits, dict) else {}


def _anchor_overridden(raw: dict[str, Any]) -> None:
    """Make input paths that overrides gave absolute: a run may be moved.

    Those of files are absolute already. On the command line a relative path
    is relative to the working directory.
    """
    databases = raw.get("databases")
    if not isinstance(databases, list):
        databases = []
    places = [
        *((entry, "path") for entry in databases if isinstance(entry, dict)),
        (_splits_of(raw), "file"),
    ]
    for holder, key in places:
        text = holder.get(key)
        if isinstance(text, str) and text and "\0" not in text:
            holder[key] = str(Path(text).resolve())


def _place_phantom(raw: dict[str, Any], path: Path, faults: Faults) -> None:
    """Replace `phantom:<name>` by the absolute `<phantom.path>/<name>`.

    After the overrides, since one of them may move `phantom.path`; absolute,
    so that a resolved config loads again from any folder.
    """
    section = raw.get("phantom")
    databases = raw.get("databases")
    for entry in databases if isinstance(databases, list) else []:
        place = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(place, str) or not place.startswith(PHANTOM):
            continue
        if not isinstance(section, dict):
            faults.add(
                f"{path}: database path '{place}' names the built-in data: "
                f"expected a 'phantom:' section, found none. Add 'phantom: "
                f"{{}}'."
            )
            continue
        root = section.get("path", Phantom.model_fields["path"].default)
        name = place.removeprefix(PHANTOM)
        if not re.fullmatch(r"\w+", name):
            faults.add(
                f"{path}: database path: expected 'phantom:<name>' with a "
                f"plain name, found {shown(place)}. Correct it."
            )
        elif isinstance(root, str) and "\0" not in root:
            entry["path"] = str((Path(root) / name).resolve())


def _resolve(text: str, home: Path, faults: Faults) -> str:
    """Replace ${NAME} and anchor a relative path at the file it stands in."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            faults.add(
                f"{home}: path '{text}': expected the environment variable "
                f"{name}, which is not set. Set it to the folder it names."
            )
        return os.environ.get(name, name)

    if not text or "\0" in text:
        return text  # refused where every path is checked
    replaced = Path(re.sub(r"\$\{(\w+)\}", replace, text))
    if replaced.is_absolute():
        return str(replaced)
    return str((home.parent / replaced).resolve())


def apply_override(raw: dict[str, Any], override: str, faults: Faults) -> None:
    """Set one `a.b.c=value`; the value is read as YAML."""
    dotted, separator, text = override.partition("=")
    if not separator:
        faults.add(
            f"override '{override}': expected field=value, such as "
            f"fit.epochs=10."
        )
        return
    try:
        _set(raw, dotted, plain_yaml(text), faults)
    except ValueError as error:
        faults.add(f"override '{override}': value is not YAML: {error}")


def _set(raw: dict[str, Any], dotted: str, value: Any, faults: Faults) -> None:
    """Set the field at `a.b.c`; a number is a position in a list."""
    place: Any = raw
    parts = dotted.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                faults.add(
                    f"override '{dotted}': '{where}' is a list: expected a "
                    f"position from 0 to {len(place) - 1}, found '{part}'."
                )
                return
            key: Any = int(part)
        elif isinstance(place, dict):
            # YAML may have read the key 1, the override says "1".
            key = next((k for k in place if str(k) == part), part)
        else:
            faults.add(
                f"override '{dotted}': '{where}' has no fields, its value is "
                f"{place!r}."
            )
            return
        if depth + 1 == len(parts):
            place[key] = value
            return
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
        place = place[key]
