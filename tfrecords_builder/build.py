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
from tfpartial.records.schema import TFDS_VERSION
from tfpartial.records.store import read_cases_file
from tfrecords_builder.build_plan import Plan, make_plans, scan_jobs
from tfrecords_builder.duplicates import ScanIdentity, check_duplicates
from tfrecords_builder.manifest import write_manifest
from tfrecords_builder.records_folder import open_records_folder, write_log
from tfrecords_builder.scan_cache import (
    ScanJob,
    drop_stale,
    exit_with_parent,
    preprocess_scan,
)
from tfrecords_builder.write_database import write_database

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
        jobs = {
            plan.database.name: scan_jobs(plan, experiment, work)
            for plan in plans
            if plan.present is None
        }
        stale = [plan for plan in plans if plan.present is None]
        for plan in plans:
            if plan.present is not None:
                log.info("%s: records up to date", plan.database.name)
        _preprocess(jobs, experiment.build.workers, records_dir)
        _check_labels(stale, jobs, experiment)
        declared = _declared_elsewhere(experiment, plans)
        warnings = check_duplicates(_identities(plans, jobs, declared))
        for warning in warnings:
            log.warning("%s", warning)
        for plan in stale:
            name = plan.database.name
            _write(plan, jobs[name], experiment, work)
            shutil.rmtree(work / name)
        write_manifest(records_dir, warnings)
    return records_dir


def _preprocess(
    jobs: dict[str, list[ScanJob]], workers: int, records_dir: Path
) -> None:
    """Preprocess the scans without a cached file, in worker processes.

    Raises:
        InputError: the faults of all scans together; good scans are kept.
    """
    for name, scans in jobs.items():
        drop_stale([job.target for job in scans])
        done = sum(job.target.is_file() for job in scans)
        log.info("%s: %d scans, %d preprocessed before", name, len(scans), done)
    missing = [
        job
        for scans in jobs.values()
        for job in scans
        if not job.target.is_file()
    ]
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
    stale: Sequence[Plan],
    jobs: dict[str, list[ScanJob]],
    experiment: Experiment,
) -> None:
    """Refuse declared labels that no case of a database contains."""
    space = label_space_of(experiment)
    with Faults() as faults:
        for plan in stale:
            # The plan may have appended "ignore" to what is declared.
            num_declared = len(stored_values(plan.database, space).sets)
            counts = np.zeros(num_declared, np.int64)
            for job in jobs[plan.database.name]:
                with np.load(job.target) as scan:
                    counts += scan["source_value_counts"][:num_declared]
            try:
                check_declared_labels_occur(plan.database, space, counts)
            except InputError as error:
                faults.add(error)


def _write(
    plan: Plan, jobs: list[ScanJob], experiment: Experiment, work: Path
) -> None:
    name = plan.database.name
    with tqdm(total=len(jobs), desc=f"write {name}", unit="scan") as bar:
        declared = write_database(plan, jobs, experiment, work, bar.update)
    megabytes = declared["bytes_on_disk"] / 1e6
    ratio = declared["bytes_on_disk"] / declared["compressed_scan_bytes"]
    write_log(
        Path(experiment.records_dir),
        f"wrote {name}: {declared['num_records']} records, "
        f"{megabytes:.1f} MB, {ratio:.2f} x the compressed scans",
    )


def _declared_elsewhere(
    experiment: Experiment, plans: Sequence[Plan]
) -> list[dict[str, Any]]:
    """Return cases.json of declared databases that this build leaves out."""
    planned = {plan.database.name for plan in plans}
    folders = [
        Path(experiment.records_dir) / database.name / TFDS_VERSION
        for database in experiment.databases
        if database.name not in planned
    ]
    return [read_cases_file(folder) for folder in folders if folder.is_dir()]


def _identities(
    plans: Sequence[Plan],
    jobs: dict[str, list[ScanJob]],
    elsewhere: Sequence[dict[str, Any]],
) -> list[ScanIdentity]:
    """Return the identity of every scan, new or already in records."""
    scans = []
    for plan in plans:
        for job, split in zip(
            jobs.get(plan.database.name, []), plan.splits, strict=False
        ):
            with np.load(job.target) as scan:
                scans.append(
                    ScanIdentity(
                        database=plan.database.name,
                        case=job.case.case_id,
                        split=split,
                        exact_hash=str(scan["exact_hash"]),
                    )
                )
    present = [plan.present for plan in plans if plan.present is not None]
    for declared in [*present, *elsewhere]:
        scans += [
            ScanIdentity(
                database=declared["database"],
                case=entry["case"],
                split=entry["split"],
                exact_hash=entry["exact_hash"],
            )
            for entry in declared["cases"]
        ]
    return scans
