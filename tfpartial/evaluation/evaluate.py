"""Score the predictions of one split, case by case in a process pool.

In: an experiment, a folder of predictions. Out: `EvaluationTable`, its files.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

import tfpartial
from tfpartial.config import Database, Experiment
from tfpartial.config.meaning import label_space_of
from tfpartial.databases import (
    Case,
    Split,
    find_cases,
    read_case,
    split_cases,
    stored_values,
)
from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.evaluation.groups import structures_of
from tfpartial.evaluation.predictions import (
    find_predictions,
    leftover_warnings,
    read_prediction,
)
from tfpartial.evaluation.scores import Score, score_case
from tfpartial.evaluation.table import EvaluationTable, write_evaluation
from tfpartial.labels import LabelSpace

log = logging.getLogger(__name__)
POOL_PAYS_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
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
        predictions_dir: label indices in `<database>/<case>.nii.gz`, on the
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
    cases = _cases_of_split(experiment, space, split, databases)
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
        Job(case, by_name[case.database], space, path, options.tolerance_mm)
        for case, path in zip(cases, paths, strict=True)
    ]
    scores = _run(jobs, options.workers)
    table = EvaluationTable(
        tuple(scores),
        _provenance(experiment, predictions_dir, split, cases),
        tuple(warnings),
    )
    write_evaluation(table, out_dir or predictions_dir)
    return table


def score_job(job: Job) -> tuple[list[Score], tuple[str, ...]]:
    """Return the scores of one case and its faults; one of them is empty.

    Faults are returned, not raised, so that all cases report theirs.
    """
    try:
        image, stored = read_case(job.case, job.database, job.space)
        prediction = None
        if job.prediction is not None:
            prediction = read_prediction(
                job.prediction, image, job.case.image_path, job.space
            )
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


def _run(jobs: Sequence[Job], workers: int) -> list[Score]:
    """Return the scores of all jobs in their order; raise all faults."""
    scores: list[Score] = []
    with Faults() as faults:
        results = _results(jobs, min(workers, len(jobs)))
        for rows, found in tqdm(
            results, total=len(jobs), desc="evaluate", unit="case"
        ):
            scores += rows
            for fault in found:
                faults.add(fault)
    return scores


def _results(
    jobs: Sequence[Job], workers: int
) -> Iterator[tuple[list[Score], tuple[str, ...]]]:
    """Yield the result of every job in order; with a pool where it pays.

    Scoring a small scan takes 0.1 s, starting the workers several seconds.
    """
    start = time.perf_counter()
    yield score_job(jobs[0])
    alone_seconds = (time.perf_counter() - start) * (len(jobs) - 1)
    if workers == 1 or alone_seconds < POOL_PAYS_SECONDS:
        yield from map(score_job, jobs[1:])
        return
    # Not fork: the parent may hold TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(score_job, jobs[1:])


def _cases_of_split(
    experiment: Experiment,
    space: LabelSpace,
    split: str,
    databases: Sequence[str] | None,
) -> list[Case]:
    """Return the cases to score, by database and case in declared order."""
    known = [database.name for database in experiment.databases]
    _check_choice(split, databases or (), known)
    # All databases are read even if one is wanted: the split guards patients
    # across databases.
    splits = experiment.build.splits
    found: dict[str, list[Case]] = {}
    with Faults() as faults:
        for database in experiment.databases:
            try:
                found[database.name] = find_cases(
                    database, space, splits.patient_pattern
                )
            except InputError as error:
                faults.add(error)
    excluded = {d.name: d.exclude for d in experiment.databases}
    assigned = split_cases(found, splits, excluded)
    wanted = [name for name in known if name in (databases or known)]
    cases = [
        case
        for name in wanted
        for case in found[name]
        if assigned[name, case.case_id] == split
    ]
    if not cases:
        raise InputError(
            f"split '{split}': no case of {', '.join(wanted)} is in it. "
            f"Choose another split, or change build.splits."
        )
    return cases


def _check_choice(
    split: str, databases: Sequence[str], known: Sequence[str]
) -> None:
    """Refuse a split or database that does not exist."""
    with Faults() as faults:
        if split not in get_args(Split):
            faults.add(
                f"split: expected {', '.join(get_args(Split))}, found "
                f"'{split}'." + did_you_mean(split, get_args(Split))
            )
        for name in databases:
            if name not in known:
                faults.add(
                    f"databases: '{name}' is not declared "
                    f"({', '.join(known)})." + did_you_mean(name, known)
                )


def _provenance(
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
