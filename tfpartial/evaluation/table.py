"""The evaluation table on disk: `scores.csv` and `evaluation.json`.

In: scores and where they come from. Out: two files, written whole or not at
all, and read back equal.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tfpartial.errors import InputError, shown
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.summary import Summary, summarise
from tfpartial.files.safe_reading import read_json, read_text, without_nan
from tfpartial.files.whole_file import write_whole

SCORES_FILE = "scores.csv"
SUMMARY_FILE = "evaluation.json"
OVERALL = "overall"
# A row is about 100 bytes: two million rows.
_MAX_SCORES_BYTES = 256 * 2**20
_WHAT, _REMEDY = "the output of evaluate", "Run evaluate again."
_SCORE = TypeAdapter(Score)
DEFINITIONS = {
    "rows": "one per case and label that the case annotates; labels that the "
    "database merges are one row 'A+B': the union of their predictions "
    "against the merged mask",
    "ignored": "voxels stored as ignore are left out of reference and "
    "prediction; open background counts as 'not this label'",
    "dice": "2 |A and B| / (|A| + |B|); both empty: empty cell (NaN), not "
    "counted; one empty: 0",
    "hd95_mm": "larger of the two directed 95th percentiles of surface "
    "distances, weighted by surfel area (DeepMind surface-distance); both "
    "empty: empty cell, one empty: inf; means are over finite values, with "
    "their own n and the number of infinite ones",
    "nsd": "area of both surfaces within the tolerance of the other, over "
    "their total area (DeepMind surface Dice); both empty: empty cell, one "
    "empty: 0",
    "false_positive": "the case annotates the label, its reference holds no "
    "voxel, the prediction does: Dice 0",
    "missing": "no prediction file: every annotated label is flagged and "
    "scored Dice 0, NSD 0, HD95 inf",
    "mean": "cases of a label first, then labels with n > 0; groups count as "
    "labels",
}


@dataclass(frozen=True)
class EvaluationTable:
    """Scores, their provenance, and what was odd.

    Attributes:
        scores: rows, by database and case in declared order.
        provenance: JSON-able: version, split, tolerance, cases per database.
        warnings: one line each.
    """

    scores: tuple[Score, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def databases(self) -> tuple[str, ...]:
        """Databases with a row, in order of occurrence."""
        return tuple(dict.fromkeys(score.database for score in self.scores))

    def summary(self, database: str | None = None) -> Summary:
        """Return the means of one database, or over all cases together.

        Over all, labels that no case of the split annotates have n = 0.
        """
        names = self.provenance.get("labels", ()) if database is None else ()
        return summarise(
            (
                score
                for score in self.scores
                if database is None or score.database == database
            ),
            names[1:],  # not background
        )


def write_evaluation(table: EvaluationTable, out_dir: str | Path) -> None:
    """Write `scores.csv` (rows) and `evaluation.json` (means, provenance).

    NaN is an empty cell and a JSON null; no JSON number is infinite.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    summaries = {OVERALL: table.summary()}
    summaries |= {name: table.summary(name) for name in table.databases}
    content = {
        "provenance": dict(table.provenance),
        "definitions": DEFINITIONS,
        "warnings": list(table.warnings),
        "summary": {
            name: without_nan(asdict(summary))
            for name, summary in summaries.items()
        },
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(out_dir / SCORES_FILE, _csv_text(table))
    write_whole(out_dir / SUMMARY_FILE, text + "\n")


def read_evaluation(out_dir: str | Path) -> EvaluationTable:
    """Read what `write_evaluation` wrote.

    Raises:
        InputError: a file is missing, or is not one of these.
    """
    path, summary = Path(out_dir) / SCORES_FILE, Path(out_dir) / SUMMARY_FILE
    text = read_text(path, _WHAT, _MAX_SCORES_BYTES, _REMEDY)
    content = read_json(summary, _WHAT, _REMEDY)
    try:
        scores = tuple(map(_read_score, csv.DictReader(io.StringIO(text))))
    except (KeyError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: expected {_WHAT}, found other rows ({error!r}). {_REMEDY}"
        ) from error
    try:
        return EvaluationTable(
            scores, dict(content["provenance"]), tuple(content["warnings"])
        )
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{summary}: expected {_WHAT}, found {shown(content)}. {_REMEDY}"
        ) from None


def _csv_text(table: EvaluationTable) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f.name for f in fields(Score)]
    writer.writerow(names)
    for score in table.scores:
        writer.writerow([_cell(getattr(score, name)) for name in names])
    return text.getvalue()


def _cell(value: object) -> str:
    """Return text that reads back equal; NaN is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _read_score(row: dict[str, str]) -> Score:
    """Return the score of one CSV row; an empty cell is NaN.

    Raises:
        ValueError: a cell is missing, too many, or not of its column's type.
    """
    if None in row:
        raise ValueError(f"a row of more than {len(row) - 1} cells")
    return _SCORE.validate_python(
        {name: cell if cell != "" else "nan" for name, cell in row.items()}
    )
