"""All cases of all declared databases, and the split that each is in.

In: databases and splits as declared. Out: cases; the build, the predictor and
the evaluation all ask here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

from tfpartial.config import Database
from tfpartial.config.experiment import Splits
from tfpartial.databases.cases import Case, find_cases
from tfpartial.databases.splits import Assignment, Split, split_cases
from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.labels import LabelSpace


def find_all_cases(
    databases: Sequence[Database], space: LabelSpace, splits: Splits
) -> tuple[dict[str, list[Case]], Assignment]:
    """Find the cases of every database and assign them to splits.

    Returns:
        Database -> its cases; (database, case id) -> split.

    Raises:
        InputError: every fault of every database together.
    """
    cases: dict[str, list[Case]] = {}
    with Faults() as faults:
        for database in databases:
            with faults.collect():
                cases[database.name] = find_cases(
                    database, space, splits.patient_pattern
                )
    excluded = {d.name: d.exclude for d in databases}
    patients = {
        name: {case.case_id: case.patient_id for case in members}
        for name, members in cases.items()
    }
    return cases, split_cases(patients, splits, excluded)


def cases_of_split(
    databases: Sequence[Database],
    space: LabelSpace,
    splits: Splits,
    split: str,
    only: Collection[str] | None = None,
) -> list[Case]:
    """Return the cases of one split, in declared order.

    All databases are read even if one is wanted: a misspelt database in the
    splits file shows only beside all the declared names. Patients are told
    apart within a database; the same patient in two databases is not
    recognised (the build compares the scans themselves: `exact_hash`).

    Args:
        databases: as declared.
        space: the label space.
        splits: as declared.
        split: train, validation or test.
        only: names of databases; None is all.

    Raises:
        InputError: an unknown split or database, or no case in it.
    """
    known = [database.name for database in databases]
    with Faults() as faults:
        if split not in get_args(Split):
            faults.add(
                f"split: expected {', '.join(get_args(Split))}, found "
                f"'{split}'." + did_you_mean(split, get_args(Split))
            )
    check_database_names(only or (), known)
    cases, split_of = find_all_cases(databases, space, splits)
    wanted = [name for name in known if name in (only or known)]
    chosen = [
        case
        for name in wanted
        for case in cases[name]
        if split_of[name, case.case_id] == split
    ]
    if not chosen:
        raise InputError(
            f"split '{split}': no case of {', '.join(wanted)} is in it. "
            f"Choose another split, or change build.splits."
        )
    return chosen


def check_database_names(
    names: Collection[str], known: Collection[str]
) -> None:
    """Refuse names of databases that are not declared.

    Raises:
        InputError: naming each, and what was probably meant.
    """
    with Faults() as faults:
        for name in names:
            if name not in known:
                faults.add(
                    f"databases: '{name}' is not declared "
                    f"({', '.join(known)})." + did_you_mean(name, known)
                )
