"""The systems table as JSON, read back equal.

In: `SystemsTable`. Out: one file, written whole or not at all; every p value
can be recomputed from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tfpartial.comparison.statistics.significance import Bootstrap, Comparison
from tfpartial.comparison.statistics.systems_table import (
    Cell,
    Cost,
    Row,
    SystemColumn,
    SystemsTable,
)
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import read_json, without_nan
from tfpartial.files.whole_file import write_whole

DEFINITIONS = {
    "mean": "mean over seeds of the mean over the row's labels of the mean "
    "over cases; Dice in [0, 1]",
    "spread": "sample standard deviation over seeds",
    "n": "cells: cases with a value; comparisons: patients with a value in "
    "both systems",
    "dice": "per case and label, mean over seeds; null: not annotated, "
    "excluded, or absent from reference and prediction",
    "p": "two-sided Wilcoxon signed-rank test over patients, zero differences "
    "left out, exact up to 200",
    "p_holm": "Holm's correction over all comparisons of the table (family)",
    "effect_size": "matched-pairs rank-biserial correlation",
    "low, high": "BCa bootstrap interval of mean_difference over patients",
}


def write_systems_table(table: SystemsTable, path: str | Path) -> None:
    """Write a table as JSON; NaN is null."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"definitions": DEFINITIONS, **without_nan(asdict(table))}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def read_systems_table(path: str | Path) -> SystemsTable:
    """Read what `write_systems_table` wrote.

    Raises:
        InputError: the file is missing, or is not one of these.
    """
    path = Path(path)
    remedy = "Write the table again."
    content = read_json(path, "a systems table (JSON)", remedy)
    try:
        return _table(content)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: expected a systems table, found another document "
            f"({error!r}). {remedy}"
        ) from error


def _table(content: Mapping[str, Any]) -> SystemsTable:
    values = {f.name: content[f.name] for f in fields(SystemsTable)}
    values["rows"] = tuple(
        Row(row["name"], tuple(row["labels"]), row["aggregate"])
        for row in content["rows"]
    )
    values["columns"] = tuple(map(_column, content["columns"]))
    values["bootstrap"] = Bootstrap(**content["bootstrap"])
    values["excluded"] = tuple(map(tuple, content["excluded"]))
    for name in ("cases", "left_out"):
        values[name] = tuple(content[name])
    return SystemsTable(**values)


def _column(content: Mapping[str, Any]) -> SystemColumn:
    values = dict(content)
    cost = content["cost"]
    values["cost"] = None if cost is None else Cost(**cost)
    values["cells"] = tuple(map(_cell, content["cells"]))
    for name in ("seeds", "missing_seeds"):
        values[name] = tuple(content[name])
    values["dice"] = tuple(
        tuple(map(_number, case)) for case in content["dice"]
    )
    return SystemColumn(**values)


def _cell(content: Mapping[str, Any]) -> Cell:
    values = dict(content)
    for name in ("mean", "spread"):
        values[name] = _number(content[name])
    if content["comparison"] is not None:
        values["comparison"] = Comparison(
            **{k: _number(v) for k, v in content["comparison"].items()}
        )
    return Cell(**values)


def _number(value: Any) -> Any:
    return math.nan if value is None else value
