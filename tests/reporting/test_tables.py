"""Tables: every mean with its n, columns that need not agree on labels."""

from __future__ import annotations

import math
from dataclasses import replace

from tfpartial.evaluation import EvaluationTable, Score
from tfpartial.reporting.tables import dice_table, metrics_table

NAN = math.nan
ROW = Score("a", "1", "cord", False, 0.5, 1.0, 2.0, 3.0, 0.25, False, False)
STUDENT = EvaluationTable(
    (
        ROW,
        replace(ROW, case="2", dice=1.0, hd95_mm=math.inf),
        replace(ROW, label="jaw", dice=NAN, nsd=NAN, hd95_mm=NAN),
        replace(ROW, database="b", label="l+r", grouped=True, dice=0.25),
    ),
    {"tolerance_mm": 2.0},
)
TEACHER = EvaluationTable(
    (replace(ROW, dice=1.0), replace(ROW, case="2", dice=0.0, missing=True))
)


def cells(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table without its rule."""
    lines = [line for line in table.splitlines() if ":|" not in line]
    lines = [line for line in lines if "--" not in line]
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines]


def test_dice_with_n_per_label_and_column() -> None:
    table = dice_table(
        {"student": STUDENT, "teacher": TEACHER}, style="markdown"
    )
    assert cells(table) == [
        ["label", "student", "teacher"],
        ["cord", "0.750 (n=2)", "0.500 (n=2, 1 missing)"],
        ["jaw", "– (n=0)", "–"],
        ["l+r", "0.250 (n=1)", "–"],
        # (0.75 + 0.25) / 2: jaw is not counted
        ["mean over labels", "0.500 (2 labels)", "0.500 (1 label)"],
    ]


def test_one_database_only() -> None:
    table = dice_table({"student": STUDENT}, "b", style="markdown")
    assert cells(table)[1:] == [
        ["l+r", "0.250 (n=1)"],
        ["mean over labels", "0.250 (1 label)"],
    ]


def test_markdown_is_a_table() -> None:
    lines = dice_table({"student": STUDENT}, style="markdown").splitlines()
    assert all(line[0] == line[-1] == "|" for line in lines)
    assert set(lines[1]) == set("|-: ")
    assert len({len(line) for line in lines}) == 1


def test_console_table_has_the_same_cells() -> None:
    console = dice_table({"student": STUDENT, "teacher": TEACHER})
    markdown = dice_table(
        {"student": STUDENT, "teacher": TEACHER}, style="markdown"
    )
    words = [line.split() for line in console.splitlines() if "--" not in line]
    assert words == [" ".join(row).split() for row in cells(markdown)]


def test_all_metrics_of_a_table() -> None:
    rows = cells(metrics_table(STUDENT, "a", style="markdown"))
    assert rows[0][:4] == ["label", "Dice ± sd", "NSD 2 mm", "HD95 mm"]
    # sample sd of 0.5 and 1: sqrt((.25² + .25²) / 1) = 0.354
    assert rows[1][:4] == [
        "cord",
        "0.750 ± 0.354 (n=2)",
        "0.250 (n=2)",
        "3.0 (n=1)",
    ]
    assert rows[1][4:] == ["1.0 (n=2)", "2.0 (n=2)", "0 of 0"]
    assert rows[-1][1] == "0.750 (1 label)"


def test_false_positives_of_known_absence() -> None:
    absent = replace(ROW, reference_ml=0.0)
    table = EvaluationTable(
        (replace(absent, false_positive=True), replace(absent, case="2"))
    )
    assert cells(metrics_table(table, style="markdown"))[1][-1] == "1 of 2"
