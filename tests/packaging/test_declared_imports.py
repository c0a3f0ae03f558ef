"""A package that the code imports is one that installing it brings along."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OWN = ("tfpartial", "tfrecords_builder")


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif (
            isinstance(node, ast.ImportFrom) and node.module and not node.level
        ):
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - set(OWN)


def declared() -> set[str]:
    """Return what setup.cfg installs: always, or with the extra for ONNX."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    text = (
        config["options"]["install_requires"]
        + config["options.extras_require"]["onnx"]
    )
    return {
        normalise(re.split(r"[<>=!~\[; ]", line)[0])
        for line in text.split("\n")
        if line
    }


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", OWN)
def test_every_import_is_declared(package: str) -> None:
    distributions = packages_distributions()
    undeclared = {}
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        for name in imported(path):
            owners = {normalise(n) for n in distributions.get(name, [name])}
            # pydantic pins the one version of its core that fits.
            if name != "pydantic_core" and not owners & declared():
                undeclared.setdefault(name, []).append(path.name)
    assert not undeclared
