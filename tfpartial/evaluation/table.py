"""The evaluation table on disk: `scores.csv` and `evaluation.json`.

In: scores and where they come from. Out: two files, written whole or not at
all, and read back equal.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

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
        """Return the means of one database, or over all cases together."""
        return summarise(
            score
            for score in self.scores
            if database is None or score.database == database
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
    scores = _csv_text(table)
    content["scores_sha256"] = _hash(scores)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(out_dir / SCORES_FILE, scores)
    write_whole(out_dir / SUMMARY_FILE, text + "\n")


def read_evaluation(out_dir: str | Path) -> EvaluationTable:
    """Read what `write_evaluation` wrote.

    Raises:
        InputError: a file is missing, is not one of these, or the scores were
            changed since.
    """
    path, summary = Path(out_dir) / SCORES_FILE, Path(out_dir) / SUMMARY_FILE
    text = read_text(path, _WHAT, _MAX_SCORES_BYTES, _REMEDY)
    content = read_json(summary, _WHAT, _REMEDY)
    found = _hash(text)
    if not isinstance(content, dict):
        raise _unlike(summary, shown(content))
    expected = content.get("scores_sha256", found)  # none: an older file
    if expected != found:
        raise _unlike(
            path,
            f"sha256 {found} where {SUMMARY_FILE} has {shown(expected)}",
        )
    try:
        scores = tuple(map(_score, csv.DictReader(io.StringIO(text))))
        _check_scores(scores)
    except (KeyError, ValueError, csv.Error) as error:
        raise _unlike(path, f"other rows ({error!r})") from error
    provenance, warnings = content.get("provenance"), content.get("warnings")
    if not (isinstance(provenance, dict) and isinstance(warnings, list)):
        raise _unlike(summary, shown(content))
    return EvaluationTable(scores, provenance, tuple(warnings))


def _unlike(path: Path, found: str) -> InputError:
    return InputError(f"{path}: expected {_WHAT}, found {found}. {_REMEDY}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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


def _score(row: dict[str, str]) -> Score:
    """Return the score of one CSV row.

    Raises:
        KeyError: a column is missing.
        ValueError: a cell is not of its column's type, or one is missing.
    """
    values: dict[str, Any] = {}
    if None in row.values() or None in row:
        raise ValueError(f"a row of {len(row)} cells")
    for column in fields(Score):
        cell = row[column.name]
        if column.type == "bool":
            values[column.name] = {"true": True, "false": False}[cell]
        elif column.type == "float":
            values[column.name] = float(cell or "nan")
        else:
            values[column.name] = cell
    return Score(**values)


def _check_scores(scores: Sequence[Score]) -> None:
    """Refuse what no evaluation writes.

    Raises:
        ValueError: a row stands twice, or a share is not in [0, 1].
    """
    rows = Counter((s.database, s.case, s.label) for s in scores)
    for row, count in rows.most_common(1):
        if count > 1:
            raise ValueError(f"{row} stands {count} times")
    for score in scores:
        for share in (score.dice, score.nsd):
            if share < 0 or share > 1:  # NaN is neither
                raise ValueError(f"{share} as a Dice or NSD of {score.case}")
