"""Whether the records are those of the config: before any training.

In: an `Experiment`, its opened records. Out: nothing, or every difference.

Records outlive the config that built them. Trained with another one they
would be normalised, labelled or split in another way than it says; a case
that was a training case then may be a test case now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.config import Database, Experiment, label_space_of
from tfpartial.databases import patient_of, split_cases, stored_values
from tfpartial.databases.cases import is_turned
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.errors import Faults, InputError, join_names
from tfpartial.labels import LabelSpace
from tfpartial.records.cases_file import read_cases_file
from tfpartial.records.store import RecordStore
from tfpartial.records.taught_labels import untrained_labels

log = logging.getLogger(__name__)

# They change no voxel; of `exclude` and `cases` the effect is compared.
_NOT_COMPARED = {"name", "path", "licence", "citation", "exclude", "cases"}


def check_records(
    experiment: Experiment, stores: Mapping[str, RecordStore]
) -> None:
    """Compare what the records were built from with what is declared.

    Compared are the labels, `preprocess`, each database's declaration, and of
    each recorded case its split, its annotated labels and whether it was
    turned. The folders of the scans are not needed: splits follow from case
    ids. Where the splits file is absent, that part is skipped with a warning.

    Args:
        experiment: as declared.
        stores: database -> its records; of some or all databases.

    Raises:
        InputError: every difference of every database.
    """
    space = label_space_of(experiment)
    _say_pseudo_labels(stores)
    declared = {database.name: database for database in experiment.databases}
    differences = {
        name: list(_differences(experiment, declared[name], store, space))
        for name, store in stores.items()
    }
    with Faults() as faults:
        try:
            for name, difference in _split_differences(experiment, stores):
                differences[name].append(difference)
        except InputError as error:
            for fault in error.faults:
                faults.add(f"{fault} Then build the records again.")
        untrained = untrained_labels(
            read_cases_file(store.folder) for store in stores.values()
        )
        for fault in untrained:
            if experiment.build.splits.untrained_labels == "error":
                faults.add(fault)
            else:
                log.warning("%s", fault)
        for name, found in differences.items():
            if found:
                faults.add(
                    f"{stores[name].folder}: expected the records of this "
                    f"config, found other ones: {'; '.join(found)}. Run "
                    "`tfpartial build` with this config, or train with the "
                    "config that built them."
                )


def _say_pseudo_labels(stores: Mapping[str, RecordStore]) -> None:
    """Log which records carry labels that no annotator drew, and whose."""
    for name, store in stores.items():
        made = read_cases_file(store.folder).get("pseudo_labels")
        if made is not None:
            log.info(
                "%s: the records carry pseudo-labels (%s) by the %s of run %s",
                name,
                ", ".join(made["stored_values"]),
                made["network"],
                made["run"],
            )


def _differences(
    experiment: Experiment,
    database: Database,
    store: RecordStore,
    space: LabelSpace,
) -> Iterator[str]:
    """Yield what differs in one database, except the splits."""
    found = read_cases_file(store.folder)
    for field, value in experiment.preprocess.model_dump(mode="json").items():
        yield from _compare(f"preprocess.{field}", found.get(field), value)
    before = found.get("declaration", {})
    declared = database.model_dump(mode="json")
    for field, value in declared.items():
        if field not in _NOT_COMPARED:
            default = (
                type(database)
                .model_fields[field]
                .get_default(call_default_factory=True)
            )
            yield from _compare(field, before.get(field, default), value)
    # Equal as mappings, yet the order decides where masks overlap.
    orders = [list(d.get("values", {})) for d in (before, declared)]
    if sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]:
        yield from _compare("order of values", *orders)
    excluded = [c.case for c in store.cases if c.case in database.exclude]
    if excluded:
        yield f"exclude: the records hold {join_names(excluded)}"
    if store.label_names != space.names:
        yield from _compare("label_space", store.label_names, space.names)
        return  # the columns of `annotated` mean other labels
    unlike = _annotated_unlike(database, store, space)
    if unlike:
        yield f"annotated labels of {join_names(unlike)}"
    turned = [
        entry["case"]
        for entry in found["cases"]
        if entry["prone_turn"] != is_turned(database, entry["case"])
    ]
    if turned:
        yield f"patient_position of {join_names(turned)}"


def _compare(field: str, before: Any, now: Any) -> Iterator[str]:
    if before != now:
        yield f"{field} (records: {before}, config: {now})"


def _annotated_unlike(
    database: Database, store: RecordStore, space: LabelSpace
) -> list[str]:
    """Return the cases whose annotated labels are not the declared ones."""
    stored = stored_values(database, space)
    protocol = annotated_labels(database, stored, space)
    unlike = []
    for entry in store.cases:
        override = database.cases.get(entry.case)
        expected = protocol
        if override is not None and override.annotated is not None:
            expected = space.vector(["background", *override.annotated])
        elif database.absent_mask == "not_annotated":
            expected = protocol & entry.annotated  # absent files take away
        if not np.array_equal(entry.annotated, expected):
            unlike.append(entry.case)
    return unlike


def _split_differences(
    experiment: Experiment, stores: Mapping[str, RecordStore]
) -> Iterator[tuple[str, str]]:
    """Yield (database, what differs) of cases that are in another split."""
    splits = experiment.build.splits
    if splits.file is not None and not Path(splits.file).is_file():
        log.warning(
            "%s: no such file; the splits of the records are used unchecked.",
            splits.file,
        )
        return
    patients = {
        name: {
            entry.case: patient_of(entry.case, splits.patient_pattern)
            for entry in store.cases
        }
        for name, store in stores.items()
    }
    assigned = split_cases(
        patients,
        splits,
        {database.name: database.exclude for database in experiment.databases},
        [database.name for database in experiment.databases],
    )
    for name, store in stores.items():
        moved: dict[tuple[str, str], list[str]] = {}
        for entry in store.cases:
            now = assigned[name, entry.case]
            if now != entry.split:
                moved.setdefault((entry.split, now), []).append(entry.case)
        for (recorded, declared), case_ids in moved.items():
            yield (
                name,
                f"split of {join_names(case_ids)} (records: {recorded}, "
                f"config: {declared})",
            )
