"""Score the predictions of one split, case by case in a process pool.

In: an experiment, a folder of predictions. Out: `EvaluationTable`, its files.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

import tfpartial
from tfpartial.config import Database, Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import (
    Case,
    cases_of_split,
    read_case,
    stored_values,
)
from tfpartial.errors import Faults, InputError
from tfpartial.evaluation.predictions import (
    find_predictions,
    leftover_warnings,
    read_prediction,
)
from tfpartial.evaluation.right_angles import at_right_angles
from tfpartial.evaluation.scores import Score, score_case
from tfpartial.evaluation.table import EvaluationTable, write_evaluation
from tfpartial.labels import LabelSpace
from tfpartial.metrics.groups import structures_of
from tfpartial.process_pool import run_in_order
from tfpartial.scans import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreJob:
    """One case to score; travels to a worker process.

    Attributes:
        case: of `find_cases`.
        database: the case's database.
        space: the label space.
        prediction: its file; None if missing and to be scored 0.
        tolerance_mm: of the NSD.
    """

    case: Case
    database: Database
    space: LabelSpace
    prediction: Path | None
    tolerance_mm: float


def evaluate_predictions(
    experiment: Experiment,
    predictions_dir: str | Path,
    split: str = "test",
    databases: Sequence[str] | None = None,
    out_dir: str | Path | None = None,
) -> EvaluationTable:
    """Score every annotated label of every case of a split.

    Args:
        experiment: its databases, splits, label space and `evaluate` section.
        predictions_dir: label maps `<database>/<case>` of indices, on the
            scans' own grids.
        split: train, validation or test.
        databases: names; None for all that have a case in the split.
        out_dir: where `scores.csv` and `evaluation.json` go; default:
            predictions_dir.

    Returns:
        The table that was written.

    Raises:
        InputError: all at once: missing predictions (unless
            `evaluate.missing` is "zero"), grids that disagree, foreign label
            indices, faults of the references; an unknown split or database;
            a split without a case.
    """
    predictions_dir = Path(predictions_dir)
    space = label_space_of(experiment)
    cases = cases_of_split(
        experiment.databases,
        space,
        experiment.build.splits,
        split,
        databases,
    )
    options = experiment.evaluate
    paths = find_predictions(predictions_dir, cases, options.missing)
    by_name = {database.name: database for database in experiment.databases}
    skipped = set(by_name) - set(databases or by_name)
    warnings = leftover_warnings(predictions_dir, cases, split, skipped)
    unpredicted = sum(path is None for path in paths)
    if unpredicted:
        warnings.append(
            f"{predictions_dir}: {unpredicted} of {len(cases)} case(s) have "
            f"no prediction and are scored 0"
        )
    for warning in warnings:
        log.warning("%s", warning)
    jobs = [
        ScoreJob(
            case, by_name[case.database], space, path, options.tolerance_mm
        )
        for case, path in zip(cases, paths, strict=True)
    ]
    scores = _score_all(jobs, options.workers)
    table = EvaluationTable(
        tuple(scores),
        _describe(experiment, predictions_dir, split, cases),
        tuple(warnings),
    )
    write_evaluation(table, out_dir or predictions_dir)
    return table


def score_job(job: ScoreJob) -> tuple[list[Score], tuple[str, ...]]:
    """Return the scores of one case and its faults; one of them is empty.

    Faults are returned, not raised, so that all cases report theirs.
    """
    try:
        image, stored = read_case(job.case, job.database, job.space)
        prediction = None
        if job.prediction is not None:
            predicted = read_prediction(
                job.prediction, image, job.case.source.name, job.space
            )
            prediction = at_right_angles(Volume(predicted, image.affine)).array
        stored = at_right_angles(stored)
    except InputError as error:
        return [], error.faults
    sets = stored_values(job.database, job.space).sets
    structures = structures_of(sets, job.case.annotated, job.space)
    scores = score_case(
        job.case.database,
        job.case.case_id,
        stored.array,
        prediction,
        structures,
        stored.spacing_mm,
        job.tolerance_mm,
    )
    return scores, ()


def _score_all(jobs: Sequence[ScoreJob], workers: int) -> list[Score]:
    """Return the scores of all jobs in their order; raise all faults."""
    scores: list[Score] = []
    with Faults() as faults:
        results = run_in_order(score_job, jobs, workers)
        for rows, wrong in tqdm(
            results, total=len(jobs), desc="evaluate", unit="case"
        ):
            scores += rows
            for fault in wrong:
                faults.add(fault)
    return scores


def _describe(
    experiment: Experiment,
    predictions_dir: Path,
    split: str,
    cases: Sequence[Case],
) -> dict[str, Any]:
    """Return what is needed to know how the numbers came about."""
    return {
        "tfpartial": tfpartial.__version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "predictions_dir": str(predictions_dir),
        "split": split,
        "tolerance_mm": experiment.evaluate.tolerance_mm,
        "missing": experiment.evaluate.missing,
        "labels": list(label_space_of(experiment).names),
        "cases": dict(Counter(case.database for case in cases)),
        "notice": "Research use only",
    }
