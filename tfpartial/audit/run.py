"""The whole audit: measure every case, compare all, write page and JSON.

In: an experiment, maybe predictions. Out: `index.html` and `audit.json`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfpartial.audit.checks.arrangement import orientation_findings
from tfpartial.audit.checks.disagreement import (
    disagreement_findings,
    disagreement_table,
)
from tfpartial.audit.checks.field_of_view import field_of_view_findings
from tfpartial.audit.checks.likeness import likeness_of_all
from tfpartial.audit.checks.matrix import (
    database_rows,
    empty_findings,
    file_findings,
    label_cells,
)
from tfpartial.audit.checks.misfit import (
    best_shift,
    expected_hu,
    misfit_finding,
    misfits,
)
from tfpartial.audit.checks.missing import missing_findings
from tfpartial.audit.checks.outliers import Scores, all_scores, outlier_findings
from tfpartial.audit.checks.position import position_findings
from tfpartial.audit.finding import KINDS, Finding, rank_findings
from tfpartial.audit.jobs import check_writable, measure_jobs
from tfpartial.audit.measures import (
    CaseMeasures,
    MeasureJob,
    measure_case,
)
from tfpartial.audit.page.html_page import html_page
from tfpartial.audit.page.pictures import chosen_for_pictures, draw_findings
from tfpartial.audit.result import AuditResult, json_text
from tfpartial.audit.same_scan.leaks import same_scan_findings
from tfpartial.audit.same_scan.pairs import SameScan, find_same_scans
from tfpartial.config import Database, Experiment
from tfpartial.databases import read_case, stored_values
from tfpartial.databases.cases import declared_position
from tfpartial.errors import Faults
from tfpartial.files.whole_file import write_whole
from tfpartial.metrics.groups import structures_of
from tfpartial.process_pool import run_in_order
from tfpartial.reporting.views import Frame
from tfpartial.scans import Volume

log = logging.getLogger(__name__)
PAGE, JSON = "index.html", "audit.json"
Key = tuple[str, str]


def audit(
    experiment: Experiment,
    out_dir: str | Path,
    databases: Sequence[str] | None = None,
    predictions_dir: str | Path | None = None,
) -> AuditResult:
    """Audit the databases of an experiment.

    Args:
        experiment: its databases, label space, splits; `build.workers`
            processes measure.
        out_dir: where `index.html` and `audit.json` go.
        databases: names; None for all.
        predictions_dir: label maps `<database>/<case>` of indices, of any
            of the cases; None compares with no network.

    Returns:
        What was written.

    Raises:
        InputError: faults of the declaration or of the folders, all at once;
            no such folder of predictions, or none of its files is a case's;
            `out_dir` cannot be written to.
            Faults inside of a case's files are findings, not errors.
    """
    jobs = measure_jobs(experiment, databases, predictions_dir)
    out_dir = Path(out_dir)
    check_writable(out_dir)
    used = {job.case.database for job in jobs}
    declared = [d for d in experiment.databases if d.name in used]
    result, pairs = _measure_and_compare(
        jobs, declared, experiment.build.workers
    )
    pictures = draw_findings(
        chosen_for_pictures(result.findings), _by_key(jobs), pairs
    )
    write_whole(out_dir / JSON, json_text(result))
    write_whole(out_dir / PAGE, html_page(result, pictures))
    return result


def _by_key(jobs: Sequence[MeasureJob]) -> dict[Key, MeasureJob]:
    """Return (database, case) -> job."""
    return {(job.case.database, job.case.case_id): job for job in jobs}


def _measure_and_compare(
    jobs: Sequence[MeasureJob], databases: Sequence[Database], workers: int
) -> tuple[AuditResult, dict[Key, SameScan]]:
    """Do everything but pictures and files.

    Returns:
        The result; sorted names -> pair of scans that are one.
    """
    measured = list(
        tqdm(
            run_in_order(measure_case, jobs, workers),
            total=len(jobs),
            desc="measure",
            unit="case",
        )
    )
    read = [case for case in measured if case.fingerprint is not None]
    log.info("comparing %d scans with each other", len(read))
    pairs = find_same_scans([c.fingerprint for c in read if c.fingerprint])
    cells = label_cells(measured)
    compared = {
        (case.database, case.case): case.disagreements
        for case in measured
        if case.disagreements
    }
    findings = [
        *_findings(measured, read, _by_key(jobs)),
        *same_scan_findings(pairs),
        *empty_findings(cells),
        *disagreement_findings(compared),
    ]
    result = AuditResult(
        databases=tuple(database_rows(databases, measured)),
        cells=tuple(cells),
        findings=tuple(rank_findings(findings)),
        disagreement=tuple(disagreement_table(compared)),
        cases=tuple(measured),
        predicted_cases=len(compared),
    )
    return result, {_names(pair): pair for pair in pairs}


def _names(pair: SameScan) -> Key:
    a, b = sorted((pair.a.name, pair.b.name))
    return a, b


def _findings(
    measured: Sequence[CaseMeasures],
    read: Sequence[CaseMeasures],
    jobs: dict[Key, MeasureJob],
) -> list[Finding]:
    """Return the findings that compare cases by their numbers."""
    likeness = dict(
        zip(
            ((case.database, case.case) for case in read),
            likeness_of_all(
                [c.fingerprint.coarse for c in read if c.fingerprint]
            ),
            strict=True,
        )
    )
    scores = all_scores(measured)
    moved = misfits(scores)
    space = next(iter(jobs.values())).space
    return [
        *missing_findings(measured),
        *file_findings({(c.database, c.case): c.faults for c in measured}),
        *(_misfit(jobs[key], moved[key], scores) for key in moved),
        *orientation_findings(measured, space, likeness),
        *position_findings(_seen(measured, jobs)),
        *outlier_findings(scores, measured, moved),
        *field_of_view_findings(measured),
    ]


def _seen(
    measured: Sequence[CaseMeasures], jobs: dict[Key, MeasureJob]
) -> dict[Key, tuple[str | None, str]]:
    """Return (database, case) -> side of the couch, declared position."""
    seen: dict[Key, tuple[str | None, str]] = {}
    for case in measured:
        key = (case.database, case.case)
        position = declared_position(jobs[key].database, case.case)
        seen[key] = (case.couch, position)
    return seen


def _misfit(job: MeasureJob, score: float, scores: Sequence[Scores]) -> Finding:
    """Read a case again and search the shift that explains it."""
    image, stored = read_case(job.case, job.database, job.space, Faults())
    frame = Frame(job.case.in_patient_frame(image).grid)
    hu = Volume(frame.reorder(image.array), frame.grid.affine)
    codes = frame.reorder(stored.array)
    expected = expected_hu(scores, job.case.database)
    structures = structures_of(
        stored_values(job.database, job.space).sets,
        job.case.annotated,
        job.space,
    )
    masks = {
        structure.name: structure.inside[codes]
        for structure in structures
        if structure.name in expected
    }
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    shift, fit, unmoved = best_shift(
        hu, masks, expected, np.random.default_rng(0)
    )
    key = (job.case.database, job.case.case_id)
    return misfit_finding(key, score, shift, fit, unmoved)


def summary_lines(result: AuditResult) -> list[str]:
    """Return one line per kind of finding, for the console."""
    return [
        f"{result.count_of(kind):>4}  {heading}"
        for kind, (heading, _) in KINDS.items()
    ]
