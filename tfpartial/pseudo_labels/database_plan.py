"""What becomes of each database: its pseudo-labels, stored values, key.

In: the opened source records, the run. Out: one `DatabasePlan` each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.config import Database, Experiment
from tfpartial.data.patch_reader import MAX_STORED_VALUES
from tfpartial.databases import check_database_names
from tfpartial.errors import Faults, InputError
from tfpartial.files.safe_reading import file_hash, value_hash
from tfpartial.inference.jobs import network_key
from tfpartial.records.cases_file import read_cases_file
from tfpartial.records.schema import CASES_FILE, TFDS_VERSION
from tfpartial.records.store import RecordStore
from tfpartial.runs.loaded_run import LoadedRun
from tfrecords_builder.build_plan import records_are
from tfrecords_builder.fingerprints import versions

# Part of every key: raise it when pseudo-labels are computed otherwise.
REVISION = 1


@dataclass(frozen=True, eq=False)
class DatabasePlan:
    """The records of one database, as they should be.

    Attributes:
        database: as declared.
        store: its source records.
        declared: their cases.json.
        code_of_label: (L,) uint8, stored value of each label's pseudo-label;
            0 where there is none. All 0: the records are copied.
        stored_sets: (V, L) bool, of the target.
        network_key: what decides the run's predictions.
        fingerprint: of the target.
        folder: where the target belongs.
    """

    database: Database
    store: RecordStore
    declared: dict[str, Any]
    code_of_label: np.ndarray
    stored_sets: np.ndarray
    network_key: dict[str, Any]
    fingerprint: str
    folder: Path

    @cached_property
    def is_present(self) -> bool:
        """Whether the target is there already; ask once it is locked."""
        return records_are(self.folder, self.fingerprint)

    @property
    def is_copied(self) -> bool:
        """Whether nothing changes in this database."""
        return not self.code_of_label.any()

    def case_fingerprint(self, number: int) -> str:
        """Return the fingerprint of one case in the target."""
        entry = self.store.cases[number]
        if entry.split != "train":
            return entry.fingerprint
        return value_hash([self.fingerprint, entry.case, entry.fingerprint])


def open_source(experiment: Experiment) -> dict[str, RecordStore]:
    """Open the records of every declared database.

    Raises:
        InputError: the records of any are missing or damaged.
    """
    stores = {}
    with Faults() as faults:
        for database in experiment.databases:
            with faults.collect():
                stores[database.name] = RecordStore(
                    experiment.records_dir, database.name
                )
    return stores


def missing_labels(store: RecordStore) -> np.ndarray:
    """Return (L,) bool: labels that some training case does not annotate."""
    annotated = [store.cases[n].annotated for n in store.case_numbers("train")]
    if not annotated:
        return np.zeros(len(store.label_names), bool)
    missing = ~np.all(annotated, axis=0)
    missing[0] = False
    return missing


def chosen_databases(
    stores: Mapping[str, RecordStore], only: Sequence[str] | None
) -> list[str]:
    """Return the databases that get pseudo-labels.

    Raises:
        InputError: one is not declared, annotates everything already, or
            none is left.
    """
    check_database_names(only or (), list(stores))
    chosen = list(stores) if only is None else list(dict.fromkeys(only))
    partial = [name for name in chosen if missing_labels(stores[name]).any()]
    with Faults() as faults:
        for name in chosen if only else ():
            if name not in partial:
                faults.add(
                    f"databases: every training case of '{name}' annotates "
                    "every label: there is nothing to overwrite. Leave it out."
                )
        if not only and not partial:
            faults.add(
                f"databases: every training case of {', '.join(stores)} "
                "annotates every label: there is nothing to overwrite. Train "
                "on the records as they are."
            )
    return partial


def make_plans(
    experiment: Experiment,
    run: LoadedRun,
    stores: Mapping[str, RecordStore],
    chosen: Sequence[str],
    target: Path,
) -> list[DatabasePlan]:
    """Plan every database: the chosen ones overwritten, the others copied.

    Raises:
        InputError: more stored values than a record can name.
    """
    options = run.experiment.predict.model_copy(update={"probabilities": False})
    key = network_key(run, options)
    plans = []
    with Faults() as faults:
        for database in experiment.databases:
            store = stores[database.name]
            wanted = missing_labels(store) & (database.name in chosen)
            with faults.collect():
                plans.append(_plan(database, store, wanted, key, target))
    return plans


def _plan(
    database: Database,
    store: RecordStore,
    wanted: np.ndarray,
    key: dict[str, Any],
    target: Path,
) -> DatabasePlan:
    codes, sets = append_stored_values(store.stored_sets, wanted, database.name)
    declared = read_cases_file(store.folder)
    fingerprint = declared["fingerprint"]
    if wanted.any():
        fingerprint = value_hash(
            {
                "source": file_hash(store.folder / CASES_FILE),
                "labels": np.flatnonzero(wanted).tolist(),
                "prediction": key,
                "revision": REVISION,
                "tensorflow-datasets": versions()["tensorflow-datasets"],
            }
        )
    return DatabasePlan(
        database=database,
        store=store,
        declared=declared,
        code_of_label=codes,
        stored_sets=sets,
        network_key=key,
        fingerprint=fingerprint,
        folder=target / database.name / TFDS_VERSION,
    )


def append_stored_values(
    stored_sets: np.ndarray, wanted: np.ndarray, database: str
) -> tuple[np.ndarray, np.ndarray]:
    """Give each wanted label a stored value of its own, after all others.

    Its own even where an annotator's value names the same label: a voxel
    then says who labelled it.

    Args:
        stored_sets: (V, L) bool.
        wanted: (L,) bool.
        database: its name, for the message.

    Returns:
        (code of each label (L,) uint8, 0 for none; sets (V + wanted, L)).

    Raises:
        InputError: no room (one more value is kept for voxels outside).
    """
    labels = np.flatnonzero(wanted)
    first = len(stored_sets)
    if first + len(labels) >= MAX_STORED_VALUES:
        raise InputError(
            f"database '{database}': expected at most "
            f"{MAX_STORED_VALUES - 1} stored values, found {first} and "
            f"{len(labels)} pseudo-labels. Declare fewer values."
        )
    codes = np.zeros(len(wanted), np.uint8)
    codes[labels] = first + np.arange(len(labels))
    added = np.eye(len(wanted), dtype=bool)[labels]
    return codes, np.concatenate([stored_sets, added])
