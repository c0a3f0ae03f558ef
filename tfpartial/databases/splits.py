"""Which cases train, validate and test; the patient is the unit.

In: cases, their patients and `build.splits` of the config.
Out: (database, case) -> split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from tfpartial.config.experiment import Splits
from tfpartial.errors import Faults, InputError, did_you_mean, join_names, shown
from tfpartial.files.safe_reading import read_json

Split = Literal["train", "validation", "test"]
SPLITS: tuple[str, ...] = get_args(Split)
Assignment = dict[tuple[str, str], Split]


def split_cases(
    patients: Mapping[str, Mapping[str, str]],
    splits: Splits,
    excluded: Mapping[str, Collection[str]] | None = None,
    declared: Collection[str] | None = None,
) -> Assignment:
    """Assign every case to a split.

    A database that the file names is split by the file, any other by hash of
    (seed, patient); then `validation_cases` move from train to validation.

    Args:
        patients: database name -> case id -> patient id.
        splits: as declared.
        excluded: database name -> ids that the file may name although they
            are no cases (the databases' `exclude`).
        declared: names of all databases, where only some are to be split.

    Returns:
        (database, case id) -> "train", "validation" or "test".

    Raises:
        InputError: every disagreement between file, config and cases, and
            every patient on two sides, together.
    """
    if splits.validation_share + splits.test_share > 1:
        raise InputError(
            f"build.splits: expected validation_share + test_share <= 1, "
            f"found {splits.validation_share} + {splits.test_share}."
        )
    listed = _read_file(splits, declared or patients)
    assignment: Assignment = {}
    with Faults() as faults:
        for database, patient_of in patients.items():
            if database in listed:
                chosen = _by_file(
                    database,
                    list(patient_of),
                    listed[database],
                    (excluded or {}).get(database, ()),
                    splits,
                    faults,
                )
            else:
                chosen = {
                    case_id: split_of_patient(patient, splits)
                    for case_id, patient in patient_of.items()
                }
            _move_to_validation(database, chosen, splits, faults)
            assignment.update({(database, c): s for c, s in chosen.items()})
        _refuse_divided_patients(assignment, patients, faults)
    return assignment


def split_of_patient(patient_id: str, splits: Splits) -> Split:
    """Return the split of a patient: the same for ever, whoever joins.

    Formula:
        u = first 8 bytes of sha256("<seed>:<patient>") / 2^64, in [0, 1)
        test if u < test_share; validation if u < test_share +
        validation_share; else train.
    """
    digest = hashlib.sha256(f"{splits.seed}:{patient_id}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < splits.test_share:
        return "test"
    if share < splits.test_share + splits.validation_share:
        return "validation"
    return "train"


def _read_file(splits: Splits, known: Collection[str]) -> dict[str, Any]:
    """Return database -> {split: [case, ...]} of the file, {} without one."""
    if splits.file is None:
        return {}
    path = Path(splits.file)
    contents = read_json(
        path, "a JSON file", "Correct it or 'build.splits.file'."
    )
    _check_shape(contents, path)
    if not contents:
        raise InputError(
            f"{path}: expected the splits of at least one database, found "
            "none. Write them, or leave 'build.splits.file' out."
        )
    # A file may serve several experiments and name databases that this one
    # leaves out. But where one of ours is missing from it too, a misspelt
    # name would send test cases to training by hash.
    unnamed = [name for name in known if name not in contents]
    foreign = [name for name in contents if name not in known]
    if unnamed and foreign:
        raise InputError(
            f"{path}: expected the declared databases, found that it names "
            f"the undeclared database(s) {join_names(foreign)} and not "
            f"{join_names(unnamed)}."
            + did_you_mean(foreign[0], unnamed)
            + f" Correct the name, or name {join_names(unnamed)} in the file "
            f"too."
        )
    return contents


def _check_shape(contents: object, path: Path) -> None:
    """Raise unless contents are {database: {split: [text, ...]}}."""
    shape = f"{path}: expected {{database: {{train: [case, ...], test: …}}}}"
    if not isinstance(contents, dict):
        raise InputError(
            f"{shape}, found {type(contents).__name__}. Correct it."
        )
    with Faults() as faults:
        for database, sides in contents.items():
            if not isinstance(sides, dict):
                faults.add(
                    f"{shape}, found {database}: {shown(sides)}. Correct it."
                )
                continue
            for side, case_ids in sides.items():
                if side not in SPLITS:
                    faults.add(
                        f"{path}: '{database}': expected {', '.join(SPLITS)}, "
                        f"found the unknown split '{side}'."
                        + did_you_mean(side, SPLITS)
                        + " Rename it."
                    )
                elif not isinstance(case_ids, list) or not all(
                    isinstance(c, str) for c in case_ids
                ):
                    faults.add(
                        f"{path}: '{database}.{side}': expected a list of "
                        f"case ids, found {shown(case_ids)}. Correct it."
                    )


def _by_file(
    database: str,
    case_ids: Sequence[str],
    sides: Mapping[str, Sequence[str]],
    ignored: Collection[str],
    splits: Splits,
    faults: Faults,
) -> dict[str, Split]:
    """Return case -> split as the file lists them."""
    where = f"{splits.file}: '{database}'"
    chosen: dict[str, Split] = {}
    unknown = []
    for split in get_args(Split):
        for case_id in sides.get(split, ()):
            if case_id in ignored:
                continue
            if case_id not in case_ids:
                unknown.append(case_id)
            elif case_id in chosen:
                faults.add(
                    f"{where}: expected each case once, found that case "
                    f"'{case_id}' is listed twice "
                    f"({chosen[case_id]} and {split}). Keep one."
                )
            else:
                chosen[case_id] = split
    if unknown:
        faults.add(
            f"{where}: expected cases of the database, found "
            f"{len(unknown)} case(s) that the database does not contain: "
            f"{join_names(unknown)}."
            + did_you_mean(unknown[0], case_ids)
            + " Correct the file, or restore the scans."
        )
    unlisted = [c for c in case_ids if c not in chosen]
    if unlisted:
        faults.add(
            f"{where}: expected every case in a split, found that "
            f"{len(unlisted)} case(s) of the database are in no split: "
            f"{join_names(unlisted)}. List them, or exclude them from "
            f"the database."
        )
    return chosen


def _move_to_validation(
    database: str, chosen: dict[str, Split], splits: Splits, faults: Faults
) -> None:
    """Move the declared training cases to validation, in place."""
    for case_id in splits.validation_cases.get(database, ()):
        split = chosen.get(case_id)
        if split in ("train", "validation"):
            chosen[case_id] = "validation"
            continue
        found = "no such case" if split is None else f"a {split} case"
        faults.add(
            f"build.splits.validation_cases.{database}: expected training "
            f"cases, found '{case_id}', {found}."
            + (did_you_mean(case_id, chosen) if split is None else "")
        )


def _refuse_divided_patients(
    assignment: Assignment,
    patients: Mapping[str, Mapping[str, str]],
    faults: Faults,
) -> None:
    """Refuse a patient of one database whose cases are in two splits."""
    cases: dict[tuple[str, str], list[tuple[str, Split]]] = {}
    for (database, case_id), split in assignment.items():
        patient = patients[database][case_id]
        cases.setdefault((database, patient), []).append((case_id, split))
    for (database, patient), members in cases.items():
        if len({split for _, split in members}) > 1:
            where = ", ".join(f"{c} in {s}" for c, s in members)
            faults.add(
                f"database '{database}': patient '{patient}' is in several "
                f"splits: {where}. Move all scans of a patient to one split."
            )
