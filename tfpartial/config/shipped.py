"""The configs that the package brings along, by name.

In: what a user called a config. Out: its path.

They lie in `configs/` of the repository; `tfpartial/shipped_configs` leads
there, and in an installed package it is a folder that holds them.
"""

from __future__ import annotations

import re
from pathlib import Path

from tfpartial.errors import InputError, did_you_mean, shown

SHIPPED = Path(__file__).parents[1] / "shipped_configs"
# A commented set to copy; not to be run where it lies.
STARTING_SET = SHIPPED / "start"


def find_config(named: str | Path, section: str) -> Path:
    """Return the path of a config: a file, or the name of a shipped one.

    Args:
        named: a path, or a name such as "phantom" or "openkbp/openkbp".
        section: what such a config declares: "label_space" (an experiment)
            or "systems" (a comparison).

    Raises:
        InputError: neither a file nor a shipped config.
    """
    path = Path(named)
    if path.suffix in (".yaml", ".yml") or (
        path.exists() and not path.is_dir()
    ):
        return path
    if path.is_absolute():
        raise InputError(
            f"{path}: expected a YAML file, found none. Give its path, with "
            f"the ending .yaml."
        )
    known = shipped_names(section)
    if str(named) in known:
        return SHIPPED / f"{named}.yaml"
    raise InputError(
        f"config {shown(str(named))}: expected a YAML file or the name of a "
        f"shipped config ({', '.join(known)}), found neither."
        f"{did_you_mean(str(named), known)} Correct it."
    )


def shipped_names(section: str) -> list[str]:
    """Return the names of the shipped configs that declare a section."""
    declares = re.compile(rf"^{section}:", re.MULTILINE)
    # One level of folders; a glob of any depth would not follow the link.
    paths = sorted([*SHIPPED.glob("*.yaml"), *SHIPPED.glob("*/*.yaml")])
    return [
        path.relative_to(SHIPPED).with_suffix("").as_posix()
        for path in paths
        if path.parent != STARTING_SET
        and declares.search(path.read_text(encoding="utf-8"))
    ]
