"""build_records: every declared database -> records, as little as needed.

In: an `Experiment`. Out: its records_dir. Steps: plan (fingerprints), scans
(process pool, one cached file each), checks over all scans, records, manifest.
A killed build goes on where it stopped: finished scans are kept.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import (
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import check_declared_labels_occur, stored_values
from tfpartial.errors import Faults, InputError
from tfpartial.records.cases_file import case_entries, read_cases_file
from tfpartial.records.schema import TFDS_VERSION
from tfpartial.records.taught_labels import untested_labels, untrained_labels
from tfrecords_builder.build_plan import BuildPlan, make_plans, scan_jobs
from tfrecords_builder.duplicates import check_duplicates
from tfrecords_builder.grid_notes import grid_warnings, tilt_lines
from tfrecords_builder.manifest import write_manifest
from tfrecords_builder.records_folder import open_records_folder, write_log
from tfrecords_builder.scan_cache import (
    ScanJob,
    drop_stale,
    exit_with_parent,
    preprocess_scan,
)
from tfrecords_builder.write_database import describe_database, write_database

log = logging.getLogger(__name__)


def build_records(
    experiment: Experiment, only: Sequence[str] | None = None
) -> Path:
    """Build the records of the databases whose inputs have changed.

    Args:
        experiment: as declared.
        only: names of the databases to build; None is all.

    Returns:
        The records folder.

    Raises:
        InputError: every fault found in declarations and scans; a scan that
            stands in two splits; a records_dir that holds something else.
    """
    records_dir = Path(experiment.records_dir)
    plans = make_plans(experiment, only)
    with open_records_folder(records_dir, label_space_of(experiment)) as work:
        stale = [plan for plan in plans if not plan.is_present]
        for plan in plans:
            if plan.is_present:
                log.info("%s: records up to date", plan.database.name)
        jobs = [scan_jobs(plan, experiment, work) for plan in stale]
        _preprocess(jobs, experiment.build.workers, records_dir)
        files = [[job.target for job in scans] for scans in jobs]
        new = [
            describe_database(plan, targets, experiment)
            for plan, targets in zip(stale, files, strict=True)
        ]
        for line in (line for each in new for line in tilt_lines(each)):
            log.info("%s", line)
        _check_labels(stale, new, experiment)
        documents = [*new, *_declared_elsewhere(experiment, stale)]
        warnings = check_duplicates(
            case for document in documents for case in case_entries(document)
        )
        if len(documents) == len(experiment.databases):
            refuse = experiment.build.splits.untrained_labels == "error"
            warnings += _check_taught(documents, refuse)
        warnings += [
            line for document in documents for line in grid_warnings(document)
        ]
        for warning in warnings:
            log.warning("%s", warning)
        for plan, declared, targets in zip(stale, new, files, strict=True):
            _write(plan, declared, targets, experiment, work)
            shutil.rmtree(work / plan.database.name)
        write_manifest(records_dir, warnings)
    return records_dir


def _preprocess(
    jobs: Sequence[Sequence[ScanJob]], workers: int, records_dir: Path
) -> None:
    """Preprocess the scans without a cached file, in worker processes.

    Args:
        jobs: those of each database.
        workers: processes.
        records_dir: of the log.

    Raises:
        InputError: the faults of all scans together; good scans are kept.
    """
    missing = []
    for scans in jobs:
        drop_stale([job.target for job in scans])
        pending = [job for job in scans if not job.target.is_file()]
        log.info(
            "%s: %d scans, %d preprocessed before",
            scans[0].database.name,
            len(scans),
            len(scans) - len(pending),
        )
        missing += pending
    if not missing:
        return
    with (
        Faults() as faults,
        _executor(min(workers, len(missing))) as pool,
        tqdm(total=len(missing), desc="preprocess", unit="scan") as bar,
    ):
        running = {pool.submit(preprocess_scan, job): job for job in missing}
        for future in as_completed(running):
            case = running[future].case
            for fault in future.result():
                faults.add(fault)
            if not future.result():
                line = f"preprocessed {case.database}/{case.case_id}"
                write_log(records_dir, line)
            bar.update()


def _executor(workers: int) -> Executor:
    """Return a pool of processes; one worker is a thread of this process."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(
        workers,
        # Not fork: this process may hold TensorFlow's threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=exit_with_parent,
    )


def _check_labels(
    plans: Sequence[BuildPlan],
    documents: Sequence[dict[str, Any]],
    experiment: Experiment,
) -> None:
    """Refuse declared labels that no case of a database contains."""
    space = label_space_of(experiment)
    with Faults() as faults:
        for plan, declared in zip(plans, documents, strict=True):
            # The plan may have appended "ignore" to what is declared.
            num_declared = len(stored_values(plan.database, space).sets)
            counts = np.sum(
                [case["source_value_counts"] for case in declared["cases"]],
                axis=0,
            )[:num_declared]
            with faults.collect():
                check_declared_labels_occur(plan.database, space, counts)


def _check_taught(
    documents: Sequence[dict[str, Any]], refuse: bool
) -> list[str]:
    """Return what is to be said of labels without a case in a split.

    Raises:
        InputError: `refuse`, and a label that no training case contains.
    """
    untrained = untrained_labels(documents)
    if refuse and untrained:
        raise InputError(*untrained)
    return [*untrained, *untested_labels(documents)]


def _write(
    plan: BuildPlan,
    declared: dict[str, Any],
    scan_files: Sequence[Path],
    experiment: Experiment,
    work: Path,
) -> None:
    name = plan.database.name
    with tqdm(total=len(scan_files), desc=f"write {name}", unit="scan") as bar:
        written = write_database(
            declared,
            scan_files,
            plan.folder,
            work,
            bar.update,
            experiment.build.workers,
        )
    megabytes = written["bytes_on_disk"] / 1e6
    ratio = written["bytes_on_disk"] / written["compressed_scan_bytes"]
    write_log(
        Path(experiment.records_dir),
        f"wrote {name}: {written['num_records']} records, "
        f"{megabytes:.1f} MB, {ratio:.2f} x the compressed scans",
    )


def _declared_elsewhere(
    experiment: Experiment, stale: Sequence[BuildPlan]
) -> list[dict[str, Any]]:
    """Return cases.json of declared databases that are not written now."""
    written = {plan.database.name for plan in stale}
    folders = [
        Path(experiment.records_dir) / database.name / TFDS_VERSION
        for database in experiment.databases
        if database.name not in written
    ]
    return [read_cases_file(folder) for folder in folders if folder.is_dir()]
