"""The systems table as text: shape, marks, footnotes, escapes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tfpartial.comparison.statistics.significance import (
    Bootstrap,
    PairedComparison,
)
from tfpartial.comparison.statistics.systems_table import (
    Cell,
    Cost,
    Row,
    SystemColumn,
    SystemsTable,
)
from tfpartial.comparison.tables.captions import caption, notes
from tfpartial.comparison.tables.comparisons import comparisons_table
from tfpartial.comparison.tables.latex import escape
from tfpartial.comparison.tables.markup import Style, quote
from tfpartial.comparison.tables.systems import systems_table
from tfpartial.comparison.tables.write import write_systems_tables

NAN = math.nan
ROWS = (
    Row("cord", ("cord",), False),
    Row("left_jaw", ("left_jaw",), False),
    Row("overlapping", ("cord",), True),
    Row("non-overlapping", ("left_jaw",), True),
    Row("total mean", ("cord", "left_jaw"), True),
)


def comparison(
    p_holm: float, effect: float, nonzero: int = 16
) -> PairedComparison:
    return PairedComparison(
        16, nonzero, effect / 10, p_holm / 8, p_holm, effect, -0.012, 0.034
    )


def cell(
    mean: float, found: PairedComparison | None = None, n: int = 16
) -> Cell:
    return Cell(mean, 0.003, 3, n, found)


BASE = SystemColumn(
    "SL1",
    None,
    (0, 1, 2),
    (),
    0,
    Cost(300.4, 4000),
    (cell(0.8), cell(0.7, n=15), cell(0.8), cell(0.7, n=15), cell(0.75)),
    (),
)
BETTER = replace(
    BASE,
    name="ACE & co",
    cost=None,
    cells=(
        cell(0.85, comparison(0.04, 0.9)),
        cell(0.65, comparison(0.0004, -1.0), n=15),
        cell(0.85, comparison(0.05, 0.9)),
        cell(0.65, comparison(0.06, -0.9), n=15),
        # Printed equal to the other: both are best.
        cell(0.7504, comparison(1.0, 0.0)),
    ),
)
TABLE = SystemsTable(
    baseline="SL1",
    rows=ROWS,
    columns=(BASE, BETTER),
    cases=tuple(f"db/c{n}" for n in range(16)),
    family=5,
    bootstrap=Bootstrap(),
)


def cells_of(markdown: str) -> list[list[str]]:
    """Return the cells of a Markdown table without its rule."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    lines = [line for line in lines if not re.fullmatch(r"[|\-: ]+", line)]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    ]


def test_shape_and_cells_by_hand() -> None:
    """* below .05 and better, † and worse; .05 itself is neither."""
    assert cells_of(systems_table(TABLE)) == [
        ["label", "n", "SL1", "ACE & co"],
        ["cord", "16", "80.0 ± 0.3", r"**85.0** ± 0.3 \*"],
        ["left_jaw", "15", "**70.0** ± 0.3", "65.0 ± 0.3 †"],
        ["overlapping", "16", "80.0 ± 0.3", "**85.0** ± 0.3"],
        ["non-overlapping", "15", "**70.0** ± 0.3", "65.0 ± 0.3"],
        ["total mean", "16", "**75.0** ± 0.3", "**75.0** ± 0.3"],
        ["seeds", "", "3", "3"],
        ["seconds per run", "", "300", "–"],
        ["patches per run", "", "4,000", "–"],
    ]


def test_without_costs_there_are_no_cost_rows() -> None:
    table = replace(TABLE, columns=(BETTER,))
    assert cells_of(systems_table(table))[-1][0] == "seeds"


def test_all_styles_hold_the_same_numbers() -> None:
    def numbers(text: str) -> list[str]:
        return re.findall(r"\d\d\.\d", text.split("Dice in")[0])

    expected = numbers(systems_table(TABLE, "markdown"))
    assert len(expected) == 10
    assert numbers(systems_table(TABLE, "console")) == expected
    latex = systems_table(TABLE, "latex").split(r"\toprule")[1]
    assert numbers(latex) == expected


def test_console_has_rules_around_the_aggregates() -> None:
    lines = systems_table(TABLE, "console").splitlines()
    ruled = [n for n, line in enumerate(lines) if line.startswith("---")]
    assert [lines[n + 1].split()[0] for n in ruled] == [
        "cord",
        "overlapping",
        "seeds",
    ]
    assert max(map(len, lines)) <= 80


def test_differing_n_is_shown_as_a_range() -> None:
    cells = (cell(0.8, n=14), *BETTER.cells[1:])
    table = replace(TABLE, columns=(BASE, replace(BETTER, cells=cells)))
    assert cells_of(systems_table(table))[1][1] == "14-16"


def test_one_seed_has_no_spread_and_no_run_no_value() -> None:
    alone = tuple(replace(c, spread=NAN, seeds=1) for c in BASE.cells)
    empty = tuple(Cell(NAN, NAN, 0, 0, None) for _ in ROWS)
    columns = (
        replace(BASE, seeds=(0,), missing_seeds=(1, 2), cells=alone),
        replace(BASE, name="MT", seeds=(), missing_seeds=(0,), cells=empty),
    )
    table = replace(TABLE, columns=columns)
    assert cells_of(systems_table(table))[1] == ["cord", "16", "**80.0**", "–"]
    assert notes(table)[:2] == [
        "SL1: 1 seed only (0); missing, failed or unfinished: 1, 2.",
        "MT: no finished run.",
    ]
    for style in ("console", "latex", "csv"):
        assert "nan" not in systems_table(table, style)


def test_caption_says_what_the_numbers_rest_on() -> None:
    text = caption(TABLE)
    for needed in (
        "Dice in %",
        "3 seeds (0, 1, 2)",
        "16 in all",
        "* better, † worse than SL1 at p < 0.05",
        "Holm's correction over the 5 comparisons",
        "Wilcoxon signed-rank (exact) over patients",
        "95 %, BCa, 10,000 bootstrap resamples of patients, seed 0",
    ):
        assert needed in text


def test_notes_name_every_oddity() -> None:
    table = replace(
        TABLE,
        columns=(
            replace(BASE, missing_predictions=2),
            BETTER,
            replace(BETTER, name="MTs+", alias_of="ACE & co"),
        ),
        excluded=(("db/KBP_260", "SpinalCord"),),
        left_out=("l+r",),
    )
    assert notes(table) == [
        "SL1: 2 prediction(s) missing, scored 0.",
        "MTs+ is ACE & co under another name and counts as one comparison "
        "with it.",
        "Left out of every number: db/KBP_260 SpinalCord.",
        "Scored, but without a row: l+r.",
    ]
    assert notes(TABLE) == []


def test_note_where_nothing_could_be_significant() -> None:
    """8 patients, 60 comparisons: 60 * 2 / 2^8 = .47 at best."""
    few = tuple(
        replace(c, comparison=comparison(1, 0.5, 8)) for c in BASE.cells
    )
    table = replace(TABLE, columns=(replace(BETTER, cells=few),), family=60)
    (note,) = notes(table)
    assert "smallest possible one is 0.47" in note
    # 10 patients, 20 comparisons: .039 is possible.
    enough = tuple(
        replace(c, comparison=comparison(1, 0.5, 10)) for c in BASE.cells
    )
    table = replace(TABLE, columns=(replace(BETTER, cells=enough),), family=20)
    assert notes(table) == []


def test_note_where_some_could_not() -> None:
    cells = (cell(0.8, comparison(1, 0.5, 5)), *BETTER.cells[1:])
    table = replace(TABLE, columns=(replace(BETTER, cells=cells),))
    assert notes(table) == [
        "In 1 comparison(s) fewer than 6 patients differ: there no p can be "
        "below 0.05."
    ]


def test_comparisons_by_hand() -> None:
    rows = cells_of(comparisons_table(TABLE))
    assert rows[0][5] == "95 % interval"
    assert rows[1:3] == [
        ["ACE & co", "cord", "16", "16", "+9.0", "−1.2 to +3.4"]
        + ["+0.90", "0.0050", "0.0400"],
        ["ACE & co", "left_jaw", "16", "16", "−10.0", "−1.2 to +3.4"]
        + ["−1.00", "< 0.0001", "0.0004"],
    ]
    assert len(rows) == 1 + 5
    assert rows[5][4] == "0.0"


def test_alias_and_empty_comparisons_have_no_line() -> None:
    nothing = PairedComparison(0, 0, NAN, NAN, NAN, NAN, NAN, NAN)
    cells = tuple(replace(c, comparison=nothing) for c in BASE.cells)
    table = replace(
        TABLE,
        columns=(
            BASE,
            BETTER,
            replace(BETTER, name="MTs+", alias_of="ACE & co"),
            replace(BETTER, name="MT", cells=cells),
        ),
    )
    rows = cells_of(comparisons_table(table))[1:]
    assert {row[0] for row in rows} == {"ACE & co"}
    assert len(rows) == 5


@pytest.mark.parametrize("style", ["console", "markdown", "latex"])
def test_a_baseline_alone_is_compared_with_nothing(
    style: Style,
) -> None:
    alone = replace(TABLE, columns=TABLE.columns[:1])
    assert alone.columns[0].name == TABLE.baseline
    assert "Nothing to compare with" in comparisons_table(alone, style)


def test_csv_has_plain_numbers() -> None:
    rows = list(csv.reader(io.StringIO(systems_table(TABLE, "csv"))))
    assert rows[0][5:9] == [
        "ACE & co Dice %",
        "ACE & co sd",
        "ACE & co n",
        "ACE & co p Holm",
    ]
    assert rows[1] == ["cord", "80", "0.3", "16", "", "85", "0.3", "16", "0.04"]
    assert rows[-2] == ["seconds per run", "300.4", *[""] * 7]
    assert len({len(row) for row in rows}) == 1
    rows = list(csv.reader(io.StringIO(comparisons_table(TABLE, "csv"))))
    assert rows[1] == ["ACE & co", "cord", "16", "16"] + [
        "9", "-1.2", "3.4", "0.9", "0.005", "0.04",
    ]  # fmt: skip


def test_latex_is_booktabs_with_marks_in_place() -> None:
    text = systems_table(TABLE, "latex")
    lines = text.splitlines()
    assert lines[0] == r"% Needs \usepackage{booktabs}."
    assert r"\begin{tabular}{lrrr}" in lines
    assert (
        r"cord & 16 & 80.0{\scriptsize$\pm$0.3} & "
        r"\textbf{85.0}{\scriptsize$\pm$0.3}$^{*}$ \\"
    ) in lines
    assert r"65.0{\scriptsize$\pm$0.3}$^{\dagger}$ \\" in text
    assert r"ACE \& co" in text
    assert r"left\_jaw" in text
    for rule in (r"\toprule", r"\bottomrule"):
        assert lines.count(rule) == 1
    assert lines.count(r"\midrule") == 3
    rows = [line for line in lines if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}


def test_escapes() -> None:
    assert escape("a_b & 5 % #1 $x {y}") == r"a\_b \& 5 \% \#1 \$x \{y\}"
    assert escape("\\~^") == (
        r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    )
    assert quote("KBP_260 a|b *x* _y_ <i> p < 1") == (
        r"KBP_260 a\|b \*x\* \_y\_ \<i> p < 1"
    )


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    odd = replace(BETTER, name=r"a_b\{c}~^#$%|<é")
    table = replace(TABLE, columns=(BASE, odd), left_out=("l+r & 5 %",))
    (tmp_path / "a.tex").write_text(systems_table(table, "latex"))
    (tmp_path / "b.tex").write_text(comparisons_table(table, "latex"))
    (tmp_path / "main.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,longtable}"
        r"\begin{document}\input{a}\input{b}\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"],
        cwd=tmp_path,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_files_of_a_table(tmp_path: Path) -> None:
    write_systems_tables(TABLE, tmp_path / "new", "paper")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "paper.md",
        "paper.tex",
        "paper.csv",
        "paper_comparisons.tex",
        "paper_comparisons.csv",
        "paper.json",
    }
    text = (tmp_path / "new" / "paper.md").read_text()
    assert systems_table(TABLE, "markdown") in text
    assert comparisons_table(TABLE) in text


def test_json_is_strict_and_holds_every_number(tmp_path: Path) -> None:
    """NaN, which JSON lacks, is null."""
    alone = tuple(replace(c, spread=NAN) for c in BASE.cells)
    table = replace(TABLE, columns=(replace(BASE, cells=alone), BETTER))
    write_systems_tables(table, tmp_path, "paper")

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (tmp_path / "paper.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert "sample standard deviation" in content["definitions"]["spread"]
    first, second = content["columns"]
    assert first["cost"] == {"seconds": 300.4, "patches": 4000}
    assert first["cells"][0]["spread"] is None
    tested = BETTER.cells[0].comparison
    assert tested is not None
    assert second["cells"][0]["comparison"] == asdict(tested)
