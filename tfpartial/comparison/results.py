"""Finished runs -> the small files that a paper needs.

In: the evaluations, journals and validation histories of a comparison's runs.
Out: `<output_dir>/results`: tables (Markdown, LaTeX, CSV, JSON), comparisons,
scores per case, learning curves, the figure of predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.figures.curves import write_learning_curves
from tfpartial.comparison.figures.systems import ScanRow, write_systems_figure
from tfpartial.comparison.finished_runs import FinishedRun, build_table
from tfpartial.comparison.plan import Run, slug
from tfpartial.comparison.run.journal import is_finished
from tfpartial.comparison.tables.markup import csv_text
from tfpartial.comparison.tables.systems import systems_table
from tfpartial.comparison.tables.write import write_systems_tables
from tfpartial.config import Experiment, label_space_of
from tfpartial.databases import (
    Case,
    cases_of_split,
    read_case,
    stored_values,
)
from tfpartial.errors import InputError, shown
from tfpartial.evaluation.predictions import prediction_path
from tfpartial.evaluation.table import SCORES_FILE
from tfpartial.files.safe_reading import read_json
from tfpartial.files.whole_file import write_whole
from tfpartial.metrics.groups import stored_names
from tfpartial.runs.run_dir import RunDir
from tfpartial.scans import read_labels


def write_results(
    comparison: Comparison, base: Experiment, runs: Sequence[Run]
) -> Path:
    """Write every table, file and figure of what is finished.

    Returns:
        The folder.

    Raises:
        InputError: no run of the baseline is finished.
    """
    finished = [
        FinishedRun.read(run) for run in runs if is_finished(comparison, run)
    ]
    folder = Path(comparison.output_dir) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    _copy_scores(finished, folder / "cases")
    for name, columns in comparison.tables.items():
        variants: dict[str, dict[str, Any]] = {name: {}}
        if comparison.exclude:
            excluded = {"exclude": comparison.exclude}
            variants[f"{name}_without_excluded"] = excluded
        for other in _find_other_databases(comparison, finished):
            variants[f"{name}_{slug(other)}"] = {"database": other}
        for file, options in variants.items():
            table = build_table(comparison, base, finished, columns, **options)
            write_systems_tables(table, folder, file)
            if file == name:
                print(f"\n{systems_table(table, 'console')}")
    _write_false_positives(finished, folder / "false_positives.csv")
    _write_curves(comparison, finished, folder / "curves.png")
    _write_figure(comparison, base, finished, folder / "figure.png")
    return folder


def _find_other_databases(
    comparison: Comparison, finished: Sequence[FinishedRun]
) -> list[str]:
    """Return the other databases of which cases were evaluated."""
    evaluated = {
        score.database
        for done in finished[:1]
        for scores in done.scores.values()
        for score in scores
    }
    return sorted(evaluated - {comparison.database})


def _write_false_positives(finished: Sequence[FinishedRun], path: Path) -> None:
    """Count predictions of what is known to be absent (annotated, no voxel)."""
    rows: list[list[object]] = [
        ["run", "network", "database", "label", "absent", "predicted"]
    ]
    for done in finished:
        for network, scores in done.scores.items():
            predicted: dict[tuple[str, str], list[bool]] = {}
            for score in scores:
                if score.reference_ml == 0:
                    place = score.database, score.label
                    predicted.setdefault(place, []).append(score.false_positive)
            rows += [
                [done.run.name, network, *place, len(cases), sum(cases)]
                for place, cases in predicted.items()
            ]
    write_whole(path, csv_text(rows))


def _copy_scores(finished: Sequence[FinishedRun], folder: Path) -> None:
    """Copy every score per case and label: numbers can be recomputed."""
    folder.mkdir(exist_ok=True)
    for run in (done.run for done in finished):
        for network in run.networks:
            name = f"{run.name}_{network}.csv"
            source = run.predictions(network) / SCORES_FILE
            write_whole(folder / name, source.read_text("utf-8"))


def _write_curves(
    comparison: Comparison, finished: Sequence[FinishedRun], path: Path
) -> None:
    """Draw whole-scan validation over epochs, one curve per system."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for system in comparison.systems:
        for run in (done.run for done in finished):
            history = RunDir(run.folder).validation
            if system.name not in run.systems or not history.is_file():
                continue
            points = read_curve_points(history, system.network)
            if points:
                curves.setdefault(system.name, []).extend(points)
    if curves:
        write_learning_curves(path, curves)


def read_curve_points(history: Path, network: str) -> list[tuple[int, float]]:
    """Return (epoch, mean Dice) of a run's validations.

    Raises:
        InputError: the file is something else.
    """
    remedy = "Remove it to leave the run out of the curves, or restore it."
    entries = read_json(history, "validation scores (JSON)", remedy)
    with suppress(KeyError, TypeError):
        means = {entry["epoch"]: entry[network]["mean"] for entry in entries}
        points = [(e, mean) for e, mean in means.items() if mean is not None]
        if all(type(e) is int and 0 <= mean <= 1 for e, mean in points):
            return points
    raise InputError(
        f"{history}: expected entries with 'epoch' and the mean Dice of the "
        f"{network}, found {shown(entries)}. {remedy}"
    )


def _write_figure(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[FinishedRun],
    path: Path,
) -> None:
    """Draw chosen scans: CT, reference and every system's prediction."""
    if not comparison.figure_cases:
        return
    space = label_space_of(base)
    cases = {
        case.case_id: case
        for case in cases_of_split(
            base.databases,
            space,
            base.build.splits,
            comparison.split,
            [comparison.database],
        )
    }
    rows = [
        _figure_row(comparison, base, finished, cases[name])
        for name in comparison.figure_cases
    ]
    write_systems_figure(path, rows, dict(enumerate(space.names)))


def _figure_row(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[FinishedRun],
    case: Case,
) -> ScanRow:
    """Return one scan with the predictions of the first seed's runs."""
    database = base.database_named(comparison.database)
    space = label_space_of(base)
    image, reference = read_case(case, database, space)
    predictions = {
        system.name: read_labels(
            prediction_path(done.run.predictions(system.network), case)
        ).array
        for system in comparison.systems
        for done in finished
        if system.name in done.run.systems
        and done.run.seed == comparison.seeds[0]
    }
    return ScanRow(
        volume=case.in_patient_frame(image),
        reference=reference.array,
        predictions=predictions,
        name=case.case_id,
        reference_names=stored_names(
            stored_values(database, space).sets, space
        ),
    )
