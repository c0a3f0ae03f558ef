"""docs/equations.md cannot rot: functions, citations, arguments and tests."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COLUMNS = ["Eq.", "in words", "symbol → argument", "function", "test"]


def table() -> list[list[str]]:
    """Return the cells of every row, the head first."""
    text = (REPOSITORY / "docs" / "equations.md").read_text("utf-8")
    text = text.split("\n## ")[0]  # other tables follow
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    # A bar inside a cell is written \|.
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]


ROWS = table()[1:]
IDS = [f"{row[0]} {row[3].rsplit('.')[-1]}" for row in ROWS]


def named(path: str) -> Any:
    """Return the function at a dotted path, of a module or of a class."""
    parts = path.strip("`").split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError as error:
            # The path may name a class here, but a broken import is a fault.
            if not ".".join(parts[:split]).startswith(error.name or "?"):
                raise
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{path} cannot be imported")


def test_head_and_the_papers_equations() -> None:
    assert table()[0] == COLUMNS
    cited = {row[0] for row in ROWS}
    assert cited >= {f"Eq. ({number})" for number in range(1, 6)}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_docstring_cites_the_equation(row: list[str]) -> None:
    equation, function = row[0], named(row[3])
    # Line breaks may fall inside a citation.
    docstring = " ".join((inspect.getdoc(function) or "").split())
    assert equation in docstring, f"{row[3]} does not cite {equation}"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_arguments_exist(row: list[str]) -> None:
    """`name` is an argument, `name.part` an attribute of one."""
    arguments = inspect.signature(named(row[3])).parameters
    mentioned = re.findall(r"`([a-z_]+)(?:\.[a-z_]+)?`", row[2])
    assert set(mentioned) <= set(arguments), (mentioned, list(arguments))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_test_exists(row: list[str]) -> None:
    path, name = row[4].strip("`").split("::")
    tree = ast.parse((REPOSITORY / path).read_text("utf-8"))
    tests = {node.name for node in tree.body if hasattr(node, "name")}
    assert name in tests
