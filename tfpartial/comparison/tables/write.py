"""A systems table in every format.

In: `SystemsTable`. Out: files, each written whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

from tfpartial.comparison.statistics.systems_file import write_systems_table
from tfpartial.comparison.statistics.systems_table import SystemsTable
from tfpartial.comparison.tables.comparisons import comparisons_table
from tfpartial.comparison.tables.systems import systems_table
from tfpartial.files.whole_file import write_whole


def write_systems_tables(
    table: SystemsTable, out_dir: str | Path, name: str, title: str = ""
) -> list[Path]:
    """Write a table as Markdown, LaTeX, CSV and JSON.

    Args:
        table: of `build_systems_table`.
        out_dir: made if it is not there.
        name: of the files, without ending.
        title: first sentence of the captions.

    Returns:
        `<name>.md` (the comparisons below the table), `<name>.tex`,
        `<name>.csv`, `<name>_comparisons.tex`, `<name>_comparisons.csv`,
        `<name>.json` (`read_systems_table`).
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    both = [systems_table(table, "markdown", title), comparisons_table(table)]
    texts = {
        f"{name}.md": "\n\n".join(both),
        f"{name}.tex": systems_table(table, "latex", title),
        f"{name}.csv": systems_table(table, "csv"),
        f"{name}_comparisons.tex": comparisons_table(table, "latex", title),
        f"{name}_comparisons.csv": comparisons_table(table, "csv"),
    }
    for file, text in texts.items():
        write_whole(out_dir / file, text.rstrip("\n") + "\n")
    write_systems_table(table, out_dir / f"{name}.json")
    return [out_dir / file for file in [*texts, f"{name}.json"]]
