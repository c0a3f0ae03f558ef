"""Finished runs of a comparison, as the tables are made from them."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzz import config_faults
from fuzz.corpus import Fault, Mutate, Reader, flip_bits, replace_by_other
from fuzz.documents import json_faults, parent_of, places
from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.finished_runs import FinishedRun, build_table
from tfpartial.comparison.load import load_comparison
from tfpartial.comparison.plan import plan_runs
from tfpartial.comparison.results import read_curve_points
from tfpartial.comparison.run.journal import (
    is_finished,
    mark_finished,
    open_journal,
)
from tfpartial.config import Experiment
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.table import EvaluationTable, write_evaluation
from tfpartial.files.system_errors import explain_refusals

COMPARISON, ACE = "comparison.yaml", "ace.yaml"
LABELS = ("bone", "left", "right")
DOCUMENTS: dict[str, dict[str, Any]] = {
    ACE: {"name": "ACE", "databases": "all", "dropout": "last_two"},
    # What is required stands last: a file cut anywhere lacks some of it.
    COMPARISON: {
        "overrides": ["fit.epochs=2"],
        "seeds": [0, 1],
        "dropout": {"last_two": [0.5, 0.5], "all_but_first_two": [0.5]},
        "systems": [{"name": "SL1", "databases": "full"}, ACE],
        "full": ["clinic"],
        "experiment": config_faults.EXPERIMENT,
        "tables": {"systems": ["SL1", "ACE"]},
        "baseline": "SL1",
        "database": "clinic",
        "output_dir": "out",
    },
}


def prepare(folder: Path) -> None:
    """Declare two systems and two seeds, all of whose runs are finished."""
    config_faults.prepare(folder)
    config_faults.write_documents(folder, DOCUMENTS)
    records = folder / "records" / "clinic" / "1.0.0"
    records.mkdir(parents=True)
    (records / "cases.json").write_text("{}")
    comparison, base = _declared(folder)
    for number, run in enumerate(plan_runs(comparison, base)):
        scores = tuple(
            Score("clinic", f"c{case}", label, False,
                  (5 + number + case) / 20, 10.0, 9.5,
                  math.inf if case == 2 else 1.5, 0.5, False, False)
            for case in range(4)
            for label in LABELS
        )  # fmt: skip
        table = EvaluationTable(scores, {"split": "test"}, ("one line",))
        write_evaluation(table, run.predictions("student"))
        history = [
            {"epoch": e, "student": {"mean": m, "n": {"bone": 2}}}
            for e, m in ((1, None), (2, 0.25))
        ]
        (run.folder / "validation.json").write_text(json.dumps(history))
        (run.folder / "config.yaml").write_text("{}")
        for stage, seconds in (("fit", 61.5), ("predict", 2.25)):
            open_journal(run).end(stage, seconds, run)
        mark_finished(comparison, run)
    shutil.copytree(folder / "compared" / "runs", folder / "made")


def _declared(folder: Path) -> tuple[Comparison, Experiment]:
    return load_comparison(
        folder / COMPARISON,
        [f"output_dir={folder / 'compared'}",
         f"experiment.records_dir={folder / 'records'}"],
    )  # fmt: skip


def read(folder: Path) -> list[Any]:
    """Do what is not finished again, make the table, read the curves."""
    comparison, base = _declared(folder)
    with explain_refusals("comparing systems", comparison.output_dir):
        return _table(comparison, base, folder / "made")


def _table(comparison: Comparison, base: Experiment, made: Path) -> list[Any]:
    runs = plan_runs(comparison, base)
    for run in runs:
        if not is_finished(comparison, run):
            shutil.rmtree(run.folder)
            shutil.copytree(made / run.name, run.folder)
        read_curve_points(run.folder / "validation.json", "student")
    finished = [FinishedRun.read(run) for run in runs]
    table = build_table(comparison, base, finished, ["SL1", "ACE"])
    return [repr(column) for column in table.columns]


def _run_file(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / "compared" / "runs" / "ace_seed1" / name


SCORES = _run_file("predictions/student/scores.csv")


def _of_scores(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        change(SCORES(folder), draw)
        return ("scores.csv", "evaluation.json")

    return mutate


def _truncated(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data) - 1)])


def _cells(path: Path, draw: random.Random) -> None:
    lines = path.read_text().splitlines()
    place = draw.randrange(len(lines))
    cells = lines[place].split(",")
    column = draw.randrange(len(cells))
    kind = draw.randrange(4)
    if kind == 0:
        del cells[column:]
    elif kind == 1:
        cells.append("1")
    elif kind == 2:
        cells[column] = "x" * 200_000
    else:
        cells[4 if place else column] = draw.choice(["x", "1.5", "-1", "inf"])
    lines[place] = ",".join(cells)
    if draw.random() < 0.2:
        lines.append(lines[place])
    path.write_text("".join(f"{line}\n" for line in lines))


RESULTS = Reader(
    "results of runs",
    prepare,
    read,
    (
        Fault("scores: truncated", _of_scores(_truncated)),
        Fault("scores: bits flipped", _of_scores(flip_bits)),
        Fault("scores: another file", _of_scores(replace_by_other)),
        Fault("scores: cells", _of_scores(_cells)),
        *(
            Fault(f"{name.split('/')[-1]}: {fault.name}", fault.mutate)
            for name, free in (
                ("predictions/student/evaluation.json", ()),
                ("validation.json", ("n",)),
                ("journal.json", ()),
                ("finished.json", ()),
            )
            for fault in json_faults(_run_file(name), free=free)
        ),
    ),
)  # fmt: skip


def prepare_config(folder: Path) -> None:
    """Write the YAML of the comparison and of what it names."""
    config_faults.prepare(folder)
    config_faults.write_documents(folder, DOCUMENTS)


def read_config(folder: Path) -> list[Any]:
    """Load both as the verb does."""
    return [each.model_dump(mode="json") for each in
            load_comparison(folder / COMPARISON)]  # fmt: skip


def _wrong_value(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Name what does not exist, or write what is no name."""
    name = draw.choice(sorted(DOCUMENTS))
    document = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    place = draw.choice(places(document))
    holder = parent_of(document, place)
    before = holder[place[-1]]
    free = {"output_dir", "overrides", "name"} & {*map(str, place)}
    wrong = [[[]], {"a": 1}, -1, 0.25, None, "\x1b[2J", "", "x" * 5000, "a\0b"]
    others = [w for w in wrong if type(w) is not type(before)]
    holder[place[-1]] = draw.choice(wrong[:2] if free else others)
    (folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    return (name, COMPARISON, config_faults.EXPERIMENT)


CONFIG = Reader(
    "comparison (YAML)",
    prepare_config,
    read_config,
    (
        Fault("wrong value", _wrong_value),
        *config_faults.text_faults(tuple(DOCUMENTS), COMPARISON),
    ),
)
READERS = (RESULTS, CONFIG)
