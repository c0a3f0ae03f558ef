"""Finished runs -> the small files that a paper needs.

In: the evaluations, journals and validation histories of a comparison's runs.
Out: `<output_dir>/results`: tables (Markdown, LaTeX, CSV, JSON), comparisons,
scores per case, learning curves, the figure of predictions.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpartial.comparison.journal import open_journal
from tfpartial.comparison.runs import Run
from tfpartial.config import Experiment, label_space_of
from tfpartial.config.comparison import Comparison, Which
from tfpartial.databases import (
    Case,
    cases_of_split,
    read_case,
    stored_values,
)
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.errors import InputError
from tfpartial.evaluation import Cost, SystemsTable, build_systems_table
from tfpartial.evaluation.groups import stored_names
from tfpartial.evaluation.predictions import prediction_path
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.table import SCORES_FILE, read_evaluation
from tfpartial.reporting import (
    ScanRow,
    systems_table,
    write_learning_curves,
    write_systems_figure,
    write_systems_tables,
)
from tfpartial.volumes import Volume, read_label_volume, turn_prone

log = logging.getLogger(__name__)


def write_results(
    comparison: Comparison, base: Experiment, runs: Sequence[Run]
) -> Path:
    """Write every table, file and figure of what is finished.

    Returns:
        The folder.

    Raises:
        InputError: no run of the baseline is finished.
    """
    finished = [r for r in runs if open_journal(comparison, r).finished]
    folder = Path(comparison.output_dir) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    _copy_scores(finished, folder / "cases")
    for name, columns in comparison.tables.items():
        for suffix, exclude in _exclusions(comparison):
            table = table_of(comparison, base, finished, columns, exclude)
            write_systems_tables(table, folder, f"{name}{suffix}")
            if not suffix:
                print(f"\n{systems_table(table, 'console')}")
    _write_curves(comparison, finished, folder / "curves.png")
    _write_figure(comparison, base, finished, folder / "figure.png")
    return folder


def table_of(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[Run],
    columns: Sequence[str],
    exclude: dict[str, str],
) -> SystemsTable:
    """Build one table from the runs that are finished.

    Raises:
        InputError: none of the baseline is.
    """
    scores = {
        system.name: {
            run.seed: read_scores(run, system.network, comparison.database)
            for run in finished
            if system.name in run.systems
        }
        for system in comparison.systems
    }
    scores = {name: by_seed for name, by_seed in scores.items() if by_seed}
    if comparison.baseline not in scores:
        raise InputError(
            f"{comparison.output_dir}: no run of the baseline "
            f"'{comparison.baseline}' is finished; nothing to compare with."
        )
    aliases = _aliases(comparison, columns)
    for alias in aliases:
        scores.pop(alias, None)
    shown = [n for n in columns if aliases.get(n, n) in scores]
    unfinished = [n for n in columns if n not in shown]
    for name in unfinished:
        log.warning("%s: no run is finished; the table lacks it", name)
    labels = list(label_space_of(base).names[1:])
    return build_systems_table(
        scores,
        labels=labels,
        overlapping=overlapping_labels(comparison, base),
        baseline=comparison.baseline,
        columns=shown,
        aliases=aliases,
        expected_seeds=comparison.seeds,
        costs={name: _cost(comparison, finished, name) for name in scores},
        exclude=exclude,
        provenance={
            "comparison": comparison.model_dump(mode="json"),
            "unfinished_systems": unfinished,
            "epochs": base.fit.epochs,
            "steps_per_epoch": base.fit.steps_per_epoch,
            "global_batch_size": base.fit.global_batch_size,
            "notice": "Research use only",
        },
    )


def overlapping_labels(comparison: Comparison, base: Experiment) -> list[str]:
    """Return the labels in every database's label set: METHOD section 4."""
    space = label_space_of(base)
    used = {*comparison.full, *comparison.partial}
    sets = [
        annotated_labels(database, stored_values(database, space), space)
        for database in base.databases
        if database.name in used
    ]
    everywhere = np.logical_and.reduce(sets)
    return [space.names[i] for i in np.flatnonzero(everywhere) if i > 0]


def read_scores(run: Run, network: Which, database: str) -> tuple[Score, ...]:
    """Return the scores of a finished run, of one database."""
    table = read_evaluation(run.predictions(network))
    return tuple(s for s in table.scores if s.database == database)


def _aliases(comparison: Comparison, columns: Sequence[str]) -> dict[str, str]:
    """Return column -> the earlier system that it repeats."""
    first: dict[object, str] = {}
    aliases = {}
    for system in comparison.systems:
        key = (system.training, system.network)
        if key in first and system.name in columns:
            aliases[system.name] = first[key]
        first.setdefault(key, system.name)
    return aliases


def _exclusions(comparison: Comparison) -> list[tuple[str, dict[str, str]]]:
    """Return (suffix of the file name, what is left out) of each version."""
    versions: list[tuple[str, dict[str, str]]] = [("", {})]
    if comparison.exclude:
        versions.append(("_without_excluded", comparison.exclude))
    return versions


def _cost(comparison: Comparison, finished: Sequence[Run], system: str) -> Cost:
    """Return the mean cost of a system's trainings, its sources not counted."""
    runs = [run for run in finished if system in run.systems]
    fit = runs[0].experiment.fit
    seconds = [open_journal(comparison, run).seconds["fit"] for run in runs]
    patches = fit.epochs * fit.steps_per_epoch * fit.global_batch_size
    return Cost(float(np.mean(seconds)), patches)


def _copy_scores(finished: Sequence[Run], folder: Path) -> None:
    """Copy every score per case and label: numbers can be recomputed."""
    folder.mkdir(exist_ok=True)
    for run in finished:
        for network in run.networks:
            name = f"{run.name}_{network}.csv"
            source = run.predictions(network) / SCORES_FILE
            shutil.copyfile(source, folder / name)


def _write_curves(
    comparison: Comparison, finished: Sequence[Run], path: Path
) -> None:
    """Draw whole-scan validation over epochs, one curve per system."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for system in comparison.systems:
        for run in finished:
            history = run.folder / "validation.json"
            if system.name not in run.systems or not history.is_file():
                continue
            entries = json.loads(history.read_text(encoding="utf-8"))
            points = [
                (entry["epoch"], entry[system.network]["mean"])
                for entry in entries
                if entry[system.network]["mean"] is not None
            ]
            if points:
                curves.setdefault(system.name, []).extend(points)
    if curves:
        write_learning_curves(path, curves)


def _write_figure(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[Run],
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
    unknown = [c for c in comparison.figure_cases if c not in cases]
    if unknown:
        raise InputError(
            f"figure_cases: {', '.join(unknown)} is no {comparison.split} case "
            f"of {comparison.database} ({', '.join(cases)})."
        )
    rows = [
        _figure_row(comparison, base, finished, cases[name])
        for name in comparison.figure_cases
    ]
    write_systems_figure(path, rows, dict(enumerate(space.names)))


def _figure_row(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[Run],
    case: Case,
) -> ScanRow:
    """Return one scan with the predictions of the first seed's runs."""
    database = base.database_named(comparison.database)
    space = label_space_of(base)
    image, reference = read_case(case, database, space)
    affine = turn_prone(image.affine) if case.prone_turn else image.affine
    predictions = {}
    for system in comparison.systems:
        for run in finished:
            if system.name in run.systems and run.seed == comparison.seeds[0]:
                folder = run.predictions(system.network)
                path = prediction_path(folder, case)
                predictions[system.name] = read_label_volume(path).array
    return ScanRow(
        volume=Volume(image.array, affine),
        reference=reference.array,
        predictions=predictions,
        name=case.case_id,
        reference_names=stored_names(
            stored_values(database, space).sets, space
        ),
    )
