"""The table's files: read back equal, strict JSON, whole or not at all."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.table import (
    EvaluationTable,
    read_evaluation,
    write_evaluation,
)

NAN, INF = math.nan, math.inf
TABLE = EvaluationTable(
    scores=(
        Score("a", "1", "cord", False, 1 / 3, 1.5, 2.5, 0.1, 0.7, False, False),
        Score("a", "1", "jaw", False, NAN, 0.0, 0.0, NAN, NAN, False, False),
        Score("b", "1", "l+r", True, 0.0, 0.0, 3.0, INF, 0.0, True, False),
        Score("b", "2", "cord", False, 0.0, 3.0, 0.0, INF, 0.0, False, True),
    ),
    provenance={"split": "test", "tolerance_mm": 2.0},
    warnings=("one file too many",),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_evaluation(TABLE, tmp_path / "new" / "folder")
    back = read_evaluation(tmp_path / "new" / "folder")
    # repr: NaN is not equal to itself.
    assert repr(back) == repr(TABLE)
    assert [
        p.name for p in sorted((tmp_path / "new" / "folder").iterdir())
    ] == [
        "evaluation.json",
        "scores.csv",
    ]


def test_csv_cells(tmp_path: Path) -> None:
    write_evaluation(TABLE, tmp_path)
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["dice"] == rows[1]["hd95_mm"] == ""
    assert rows[2]["hd95_mm"] == "inf"
    assert [row["grouped"] for row in rows] == [
        "false",
        "false",
        "true",
        "false",
    ]
    assert [row["missing"] for row in rows] == ["false"] * 3 + ["true"]


def test_json_holds_means_with_n_per_database_and_overall(
    tmp_path: Path,
) -> None:
    write_evaluation(TABLE, tmp_path)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    content = json.loads(
        (tmp_path / "evaluation.json").read_text(), parse_constant=refuse
    )
    assert list(content["summary"]) == ["overall", "a", "b"]
    cord = content["summary"]["overall"]["labels"][0]
    assert (cord["label"], cord["n"]) == ("cord", 2)
    assert cord["dice"] == pytest.approx((1 / 3 + 0) / 2)
    assert content["summary"]["a"]["labels"][1]["dice"] is None
    assert content["provenance"]["tolerance_mm"] == 2.0
    assert "surfel" in content["definitions"]["hd95_mm"]
    assert content["warnings"] == ["one file too many"]


def test_a_failed_write_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evaluation(TABLE, tmp_path)
    before = (tmp_path / "scores.csv").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_evaluation(EvaluationTable(TABLE.scores[:1]), tmp_path)
    assert (tmp_path / "scores.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scores\.csv.*Run evaluate again"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.csv", "database,case\na,1\n"),
        ("scores.csv", None),
        ("evaluation.json", "{"),
        ("evaluation.json", "[]"),
        ("evaluation.json", '{"provenance": 1, "warnings": []}'),
    ],
)
def test_reading_a_damaged_file_names_it(
    tmp_path: Path, name: str, text: str | None
) -> None:
    write_evaluation(TABLE, tmp_path)
    path = tmp_path / name
    path.write_text(text or path.read_text().replace("0.7", "much"))
    with pytest.raises(InputError, match=name):
        read_evaluation(tmp_path)


def test_rows_that_no_evaluation_writes_are_refused(tmp_path: Path) -> None:
    write_evaluation(TABLE, tmp_path)
    scores = tmp_path / "scores.csv"
    good = scores.read_text()
    row = good.splitlines()[1]
    for bad in (
        good + row.rsplit(",", 1)[0] + "\n",
        good + f"c{row},false\n",
        good + "x" * 200_000 + row + "\n",
        good.replace("true", "perhaps"),
    ):
        scores.write_text(bad)
        with pytest.raises(InputError, match=r"scores\.csv: expected"):
            read_evaluation(tmp_path)
