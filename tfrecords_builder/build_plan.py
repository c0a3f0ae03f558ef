"""What has to be built: cases, splits, fingerprints, what is up to date.

In: an `Experiment`. Out: one `BuildPlan` per database. Reads files' bytes for
their sha256 and no voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tfpartial.config import Database, Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import (
    Case,
    check_database_names,
    find_all_cases,
    stored_values,
)
from tfpartial.errors import InputError
from tfpartial.files.stamp import STAMP_FILE, holds
from tfpartial.labels import LabelSpace
from tfpartial.records.schema import SPLITS, TFDS_VERSION
from tfrecords_builder.fingerprints import (
    case_fingerprint,
    database_fingerprint,
    hash_files,
    input_files,
)
from tfrecords_builder.scan_cache import ScanJob


@dataclass(frozen=True, eq=False)
class BuildPlan:
    """The records of one database, as they should be.

    Attributes:
        database: as declared.
        cases: in the order of the records: by split, then by case id.
        splits: the split of each case.
        stored_sets: (V, L) bool; one row is all True ("ignore").
        case_fingerprints: one per case.
        fingerprint: of the whole database.
        folder: where the records belong.
    """

    database: Database
    cases: list[Case]
    splits: list[str]
    stored_sets: np.ndarray
    case_fingerprints: list[str]
    fingerprint: str
    folder: Path

    @cached_property
    def is_present(self) -> bool:
        """Whether its records are there and whole; ask once it is locked.

        Until then another build may make what is missing.
        """
        return records_are(self.folder, self.fingerprint)

    @property
    def ignore_value(self) -> int:
        """Stored value of "ignore"."""
        return int(np.flatnonzero(self.stored_sets.all(axis=1))[-1])


def make_plans(
    experiment: Experiment, only: Sequence[str] | None
) -> list[BuildPlan]:
    """Plan the databases of an experiment.

    Args:
        experiment: as declared.
        only: names of databases; None is all. Splits are made over all
            databases of the experiment either way.

    Raises:
        InputError: every fault of every database together.
    """
    check_database_names(
        only or (), [database.name for database in experiment.databases]
    )
    space = label_space_of(experiment)
    cases, split_of = find_all_cases(
        experiment.databases, space, experiment.build.splits
    )
    return [
        _plan(experiment, database, cases[database.name], split_of, space)
        for database in experiment.databases
        if only is None or database.name in only
    ]


def _plan(
    experiment: Experiment,
    database: Database,
    cases: list[Case],
    split_of: Mapping[tuple[str, str], str],
    space: LabelSpace,
) -> BuildPlan:
    def split(case: Case) -> str:
        return split_of[database.name, case.case_id]

    ordered = sorted(cases, key=lambda c: (SPLITS.index(split(c)), c.case_id))
    hashes = hash_files(
        (path for case in ordered for path in input_files(case)),
        experiment.build.workers,
    )
    fingerprints = [
        case_fingerprint(case, database, space, experiment, hashes)
        for case in ordered
    ]
    splits = [split(case) for case in ordered]
    scans = [
        (case.case_id, case.patient_id, split(case), fingerprint)
        for case, fingerprint in zip(ordered, fingerprints, strict=True)
    ]
    fingerprint = database_fingerprint(database, experiment, scans)
    return BuildPlan(
        database=database,
        cases=ordered,
        splits=splits,
        stored_sets=_sets_with_ignore(database, space),
        case_fingerprints=fingerprints,
        fingerprint=fingerprint,
        folder=Path(experiment.records_dir) / database.name / TFDS_VERSION,
    )


def _sets_with_ignore(database: Database, space: LabelSpace) -> np.ndarray:
    """Return (V, L) bool, "ignore" appended where it is not declared.

    Voxels outside an obliquely stored scan need it.

    Raises:
        InputError: no room for it among 256 stored values.
    """
    sets = stored_values(database, space).sets
    if sets.all(axis=1).any():
        return sets
    if len(sets) > 255:
        raise InputError(
            f"database '{database.name}': expected at most 255 stored values "
            f"(one is kept for 'ignore'), found {len(sets)}."
        )
    return np.concatenate([sets, np.ones((1, sets.shape[1]), bool)])


def records_are(folder: Path, fingerprint: str) -> bool:
    """Tell whether a folder holds the whole records of a fingerprint."""
    key = {"fingerprint": fingerprint}
    return holds(folder / STAMP_FILE, key, quick=True)


def scan_jobs(
    plan: BuildPlan, experiment: Experiment, work: Path
) -> list[ScanJob]:
    """Return one job per case; the name of its file holds the fingerprint."""
    space = label_space_of(experiment)
    folder = work / plan.database.name
    return [
        ScanJob(
            case=case,
            database=plan.database,
            space=space,
            settings=experiment.preprocess,
            ignore_value=plan.ignore_value,
            num_values=len(plan.stored_sets),
            target=folder / f"{case.case_id}-{fingerprint[:16]}.npz",
        )
        for case, fingerprint in zip(
            plan.cases, plan.case_fingerprints, strict=True
        )
    ]
