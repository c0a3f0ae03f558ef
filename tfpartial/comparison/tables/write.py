"""A systems table in every format.

In: `SystemsTable`. Out: files, each written whole or not at all; every p
value can be computed again from the JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tfpartial.comparison.statistics.systems_table import SystemsTable
from tfpartial.comparison.tables.comparisons import comparisons_table
from tfpartial.comparison.tables.systems import systems_table
from tfpartial.files.safe_reading import without_nan
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


def write_systems_tables(table: SystemsTable, out_dir: Path, name: str) -> None:
    """Write a table as Markdown, LaTeX, CSV and JSON (NaN is null).

    Args:
        table: of `build_systems_table`.
        out_dir: made if it is not there.
        name: of the files: `<name>.md` (the comparisons below the table),
            `.tex`, `.csv`, `.json`, `<name>_comparisons.tex`, `.csv`.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    content = {"definitions": DEFINITIONS, **without_nan(asdict(table))}
    texts = {
        f"{name}.md": f"{systems_table(table)}\n\n{comparisons_table(table)}",
        f"{name}.tex": systems_table(table, "latex"),
        f"{name}.csv": systems_table(table, "csv"),
        f"{name}_comparisons.tex": comparisons_table(table, "latex"),
        f"{name}_comparisons.csv": comparisons_table(table, "csv"),
        f"{name}.json": json.dumps(
            content, indent=1, ensure_ascii=False, allow_nan=False
        ),
    }
    for file, text in texts.items():
        write_whole(out_dir / file, text.rstrip("\n") + "\n")
