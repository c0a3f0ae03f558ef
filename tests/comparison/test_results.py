"""From the evaluations of finished runs to the tables."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tfpartial.comparison import compare as table_module
from tfpartial.comparison import results as results_module
from tfpartial.comparison.compare import check_cases
from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.figures.systems import ScanRow
from tfpartial.comparison.finished_runs import (
    FinishedRun,
    build_table,
    find_overlapping_labels,
)
from tfpartial.comparison.plan import Run, plan_runs
from tfpartial.comparison.results import read_curve_points, write_results
from tfpartial.comparison.run.journal import mark_finished, open_journal
from tfpartial.comparison.statistics.systems_table import SystemsTable
from tfpartial.config import Experiment
from tfpartial.databases import Case, ScanFile
from tfpartial.errors import InputError
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.table import EvaluationTable, write_evaluation
from tfpartial.scans import Volume

CONFIGS = Path(__file__).parents[2] / "configs"
Declared = tuple[Comparison, Experiment]
LABELS = ["bladder", "rectum", "uterus", "bones", "femoral_head_left",
          "femoral_head_right"]  # fmt: skip


def finish(comparison: Comparison, run: Run, dice: float) -> None:
    """Make a run look finished: every Dice is `dice` + case / 100.

    That of a teacher is .05 higher.
    """
    for network in run.networks:
        dice += 0.05 * (network == "teacher")
        scores = tuple(
            Score("phantom_supine", f"c{case}", label, False,
                  dice + case / 100, 10.0, 10.0, 1.0, 0.5, False, False)
            for case in range(4)
            for label in LABELS
        )  # fmt: skip
        # Partially annotated scans are scored where they are annotated; in
        # the last one the uterus is absent, and predicted all the same.
        scores += tuple(
            Score("phantom_prone", f"p{case}", label, False,
                  dice / 2, 10.0, 10.0, 1.0, 0.5, False, False)
            for case in range(2)
            for label in LABELS[:3]
        )  # fmt: skip
        scores += (
            Score("phantom_prone", "p2", "uterus", False, 0.0, 0.0, 1.0,
                  math.inf, 0.0, True, False),
            Score("phantom_prone", "p3", "uterus", False, math.nan, 0.0, 0.0,
                  math.nan, math.nan, False, False),
        )  # fmt: skip
        folder = run.predictions(network)
        folder.mkdir(parents=True, exist_ok=True)
        table = EvaluationTable(scores, {"split": "test"}, ())
        write_evaluation(table, folder)
    history = [{"epoch": e, "student": {"mean": 0.1 * e}, "teacher":
                {"mean": 0.2 * e}} for e in (1, 2)]  # fmt: skip
    (run.folder / "validation.json").write_text(json.dumps(history))
    open_journal(run).end("fit", 60.0 + run.seed, run)
    mark_finished(comparison, run)


def table_of(
    comparison: Comparison,
    base: Experiment,
    runs: list[Run],
    columns: list[str],
) -> SystemsTable:
    finished = [FinishedRun.read(run) for run in runs]
    return build_table(comparison, base, finished, columns)


@pytest.fixture
def finished(declared: Declared) -> list[Run]:
    runs = plan_runs(*declared)
    for run in runs:
        better = 0.2 if "ACE" in run.systems else 0.0
        finish(declared[0], run, 0.5 + better + 0.1 * run.seed)
    return runs


def test_overlapping_labels_are_in_every_label_set(declared: Declared) -> None:
    assert find_overlapping_labels(*declared) == ["bladder", "rectum", "uterus"]
    alone = declared[0].model_copy(update={"partial": []})
    assert find_overlapping_labels(alone, declared[1]) == LABELS


def test_cells_are_means_over_seeds_and_cases(
    declared: Declared, finished: list[Run]
) -> None:
    table = table_of(*declared, finished, ["SL1", "ACE", "MTs+"])
    # Seeds 0 and 1, cases 0 ... 3: mean .5 + (0 + .1)/2 + (0+1+2+3)/4/100.
    assert table.cell("SL1", "bladder").mean == pytest.approx(0.565)
    assert table.cell("ACE", "total mean").mean == pytest.approx(0.765)
    assert table.cell("ACE", "total mean").n == 4
    comparison = table.cell("ACE", "bones").comparison
    assert comparison is not None
    assert comparison.mean_difference == pytest.approx(0.2)
    assert table.cell("SL1", "bones").comparison is None
    cost = table.column("ACE").cost
    assert cost is not None
    assert cost.seconds == pytest.approx(60.5)
    fit = declared[1].fit
    assert cost.patches == fit.epochs * fit.steps_per_epoch * 2
    assert table.column("MTs+").alias_of == "MT"
    # 2 systems that are not the baseline, 6 labels + 3 means.
    assert table.family == 18


def test_unfinished_runs_are_flagged_not_hidden(
    declared: Declared, finished: list[Run]
) -> None:
    some = [r for r in finished if r.name not in ("ace_seed1", "pl_seed0",
                                                  "pl_seed1")]  # fmt: skip
    table = table_of(*declared, some, ["SL1", "ACE", "PL"])
    assert table.column("ACE").missing_seeds == (1,)
    assert [c.name for c in table.columns] == ["SL1", "ACE", "PL"]
    assert table.column("PL").missing_seeds == (0, 1)
    assert math.isnan(table.cell("PL", "total mean").mean)
    with pytest.raises(InputError, match="no run of the baseline"):
        table_of(*declared, [], ["SL1"])


def test_everything_small_is_written(
    declared: Declared, finished: list[Run], capsys: pytest.CaptureFixture
) -> None:
    comparison = declared[0].model_copy(update={"exclude": {"c0": "bones"}})
    folder = write_results(comparison, declared[1], finished)
    names = {path.name for path in folder.iterdir()}
    for stem in ("systems", "systems_without_excluded"):
        assert {f"{stem}.{s}" for s in ("md", "tex", "csv", "json")} <= names
    assert "curves.png" in names
    assert "total mean" in capsys.readouterr().out
    cases = folder / "cases"
    assert len(list(cases.iterdir())) == 18 + 2  # MTs and MTt of two seeds
    with (cases / "ace_seed1_student.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["dice"]) == pytest.approx(0.8)
    text = (folder / "systems.json").read_text("utf-8")
    assert str(CONFIGS.resolve()) not in text  # no path of a machine
    without = json.loads((folder / "systems_without_excluded.json").read_text())
    assert without["excluded"] == [["phantom_supine/c0", "bones"]]


def test_other_databases_have_tables_of_what_they_annotate(
    declared: Declared, finished: list[Run]
) -> None:
    folder = write_results(*declared, finished)
    table = json.loads((folder / "systems_phantom_prone.json").read_text())
    rows = [row["name"] for row in table["rows"]]
    assert rows == ["bladder", "rectum", "uterus", "overlapping", "total mean"]
    with (folder / "false_positives.csv").open() as file:
        found = list(csv.DictReader(file))
    assert {row["database"] for row in found} == {"phantom_prone"}
    assert {(r["label"], r["absent"], r["predicted"]) for r in found} == {
        ("uterus", "2", "1")
    }


def test_a_system_has_the_network_that_it_names(
    declared: Declared,
    finished: list[Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MTs and MTt read one run: its student, its teacher."""
    table = table_of(*declared, finished, ["SL1", "MTs", "MTt"])
    difference = (
        table.cell("MTt", "bones").mean - table.cell("MTs", "bones").mean
    )
    assert difference == pytest.approx(0.05)
    drawn: dict[str, list] = {}
    monkeypatch.setattr(
        results_module,
        "write_learning_curves",
        lambda path, curves: drawn.update(curves),
    )
    write_results(*declared, finished)
    # Epochs 1 and 2, of both seeds.
    assert drawn["MTs"] == [(1, 0.1), (2, 0.2)] * 2
    assert drawn["MTt"] == [(1, 0.2), (2, 0.4)] * 2


def test_a_cost_that_is_not_known_is_not_guessed(
    declared: Declared, finished: list[Run]
) -> None:
    run = next(r for r in finished if r.name == "ace_seed1")
    open_journal(run).begin("fit", run)  # and killed
    cost = table_of(*declared, finished, ["SL1", "ACE"]).column("ACE").cost
    assert cost is not None
    assert cost.seconds is None
    assert cost.patches


def test_the_figure_shows_the_first_seed(
    declared: Declared,
    finished: list[Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volume = Volume(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    read: list[str] = []
    rows: list[ScanRow] = []

    def read_prediction(path: Path) -> Volume:
        read.append(str(path))
        return volume

    case = Case("supine_12", "phantom_supine", ScanFile(Path()), "test",
                np.zeros(0, bool), False)  # fmt: skip
    monkeypatch.setattr(results_module, "cases_of_split", lambda *_: [case])
    monkeypatch.setattr(results_module, "read_case", lambda *_: [volume] * 2)
    monkeypatch.setattr(results_module, "read_labels", read_prediction)
    monkeypatch.setattr(
        results_module,
        "write_systems_figure",
        lambda path, found, names: rows.extend(found),
    )
    comparison = declared[0].model_copy(update={"figure_cases": ["supine_12"]})
    write_results(comparison, declared[1], finished)
    assert [row.name for row in rows] == ["supine_12"]
    assert list(rows[0].predictions) == [s.name for s in comparison.systems]
    assert all("_seed0" in path for path in read)
    assert any("teacher" in path for path in read)  # MTt's


def test_scans_that_are_named_must_be_there(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known before the first training, all at once."""
    cases = [Case(name, "phantom_supine", ScanFile(Path()), name,
                  np.zeros(0, bool), False)
             for name in ("supine_12", "supine_13")]  # fmt: skip
    monkeypatch.setattr(table_module, "cases_of_split", lambda *_: cases[1:])
    monkeypatch.setattr(
        table_module,
        "find_all_cases",
        lambda *_: ({"phantom_supine": cases}, {}),
    )
    comparison, base = declared
    wrong = {"figure_cases": ["supine_31"], "exclude": {"nobody": "bones"}}
    with pytest.raises(InputError) as caught:
        check_cases(comparison.model_copy(update=wrong), base)
    first, second = caught.value.faults
    assert "'supine_31' is no case of phantom_supine. Did you mean" in first
    assert "'nobody' is no case" in second
    # A scan of another split is no fault: the same file serves both splits.
    named = {"figure_cases": ["supine_12", "supine_13"],
             "exclude": {"supine_12": "bones"}}  # fmt: skip
    settled = check_cases(comparison.model_copy(update=named), base)
    assert settled.figure_cases == ["supine_13"]
    assert settled.exclude == {}


def test_points_of_curves_are_checked(tmp_path: Path) -> None:
    history = tmp_path / "validation.json"
    good = [{"epoch": 1, "student": {"mean": None}},
            {"epoch": 2, "student": {"mean": 0.5}}]  # fmt: skip
    history.write_text(json.dumps(good))
    assert read_curve_points(history, "student") == [(2, 0.5)]
    for wrong in (
        3,
        [3],
        [{"epoch": 1}],
        [{"epoch": "1", "student": {"mean": 0.5}}],
        [{"epoch": 1, "student": {"mean": "0.5"}}],
        [{"epoch": 1, "student": {"mean": 1.5}}],
        [{"epoch": 1, "student": 0.5}],
        [{"epoch": [1], "student": {"mean": 0.5}}],
    ):
        history.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"validation\.json: expected"):
            read_curve_points(history, "student")
