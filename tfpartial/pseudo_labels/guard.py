"""What is checked before the first scan is segmented.

In: the experiment, the run, the source records. Out: nothing, or one
`InputError` with every fault.

The leak that matters: a run that was trained on a test scan would hand its
reference to the next training through the pseudo-labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tfpartial.config import Experiment, label_space_of
from tfpartial.config.cross_checks import trained_databases
from tfpartial.errors import Faults, InputError, shown
from tfpartial.files.safe_reading import read_json
from tfpartial.pseudo_labels.database_plan import chosen_databases
from tfpartial.records.cases_file import (
    CaseEntry,
    case_entries,
    read_cases_file,
)
from tfpartial.records.schema import CASES_FILE, TFDS_VERSION
from tfpartial.records.store import RecordStore
from tfpartial.runs.checkpoint_files import completed_epochs
from tfpartial.runs.loaded_run import LoadedRun, file_hash
from tfpartial.runs.run_dir import RunDir
from tfpartial.training.records_check import check_records
from tfrecords_builder.records_folder import (
    PSEUDO_LABELLED,
    check_records_folder,
)


def check_request(
    experiment: Experiment,
    run: LoadedRun,
    stores: Mapping[str, RecordStore],
    only: Sequence[str] | None,
    target: Path,
) -> list[str]:
    """Check databases, run, records and folders together.

    Args:
        experiment: as declared; its `records_dir` is the source.
        run: the predicting run.
        stores: database -> its source records.
        only: databases asked for; None: all that are partially annotated.
        target: the folder to write.

    Returns:
        The databases that get pseudo-labels.

    Raises:
        InputError: every fault found.
    """
    chosen: list[str] = []
    with Faults() as faults:
        with faults.collect():
            chosen = chosen_databases(stores, only)
        for fault in _run_faults(experiment, run):
            faults.add(fault)
        for fault in _source_faults(experiment, stores, target):
            faults.add(fault)
        with faults.collect():
            run.weights_hash(run.experiment.predict.network)
        with faults.collect():
            check_records(experiment, stores)
        with faults.collect():
            space = label_space_of(experiment)
            check_records_folder(target, space, PSEUDO_LABELLED)
        with faults.collect():
            check_leaks(run, stores, chosen)
    return chosen


def _run_faults(experiment: Experiment, run: LoadedRun) -> Iterator[str]:
    """Yield what makes the run unfit to predict these records."""
    space = label_space_of(experiment)
    if run.space.names != space.names:
        yield (
            f"{run.run_dir}: expected a run of the config's labels "
            f"{', '.join(space.names[1:])}, found "
            f"{', '.join(run.space.names[1:])}. Predict with a run of this "
            "label space."
        )
    found, expected = run.experiment.preprocess, experiment.preprocess
    for field in type(expected).model_fields:
        was, now = getattr(found, field), getattr(expected, field)
        if was != now:
            yield (
                f"{run.run_dir}: expected preprocess.{field} {now}, as the "
                f"config declares, found {was}. Predict with a run that was "
                "trained on such records."
            )
    done, epochs = completed_epochs(run.run_dir), run.experiment.fit.epochs
    if done is not None and done < epochs:
        yield (
            f"{run.run_dir}: expected a finished run, found {done} of "
            f"{epochs} epochs. Call fit again until it has finished."
        )


def _source_faults(
    experiment: Experiment, stores: Mapping[str, RecordStore], target: Path
) -> Iterator[str]:
    source = Path(experiment.records_dir)
    if source.resolve() == target.resolve():
        yield (
            f"target_records_dir {target}: expected another folder than the "
            "records_dir of the config, found the same. The records that the "
            "annotators made are kept: name a new folder."
        )
    for name, store in stores.items():
        made = read_cases_file(store.folder).get("pseudo_labels")
        if made is not None:
            yield (
                f"{store.folder}: expected records as build makes "
                f"them, found pseudo-labels of run {made['run']} in '{name}'. "
                "Set records_dir to the records they were made from."
            )


def check_leaks(
    run: LoadedRun,
    stores: Mapping[str, RecordStore],
    chosen: Sequence[str],
) -> None:
    """Compare scans by their exact voxel hash, whatever they are called.

    Args:
        run: the predicting run.
        stores: database -> its source records; of all databases.
        chosen: databases that get pseudo-labels.

    Raises:
        InputError: the run was trained on a scan that is a validation or
            test scan here; a scan to be pseudo-labelled is a test scan, here
            or of the run; or what the run was trained on cannot be known.
    """
    here = [case for store in stores.values() for case in store.cases]
    learnt = {_hash(c): c for c in trained_scans(run, stores)}
    tested = {_hash(c): c for c in _scans_near(run) if c.split == "test"}
    tested |= {_hash(c): c for c in here if c.split == "test"}
    with Faults() as faults:
        for case in here:
            twin = learnt.get(_hash(case))
            if case.split != "train" and twin is not None:
                faults.add(
                    f"{_name(case)} is a {case.split} scan, and {run.run_dir} "
                    f"was trained on it (as {_name(twin)}): its pseudo-labels "
                    "would leak it. Predict with a run trained with the same "
                    "splits."
                )
            twin = tested.get(_hash(case))
            is_changed = case.split == "train" and case.database in chosen
            if is_changed and twin is not None:
                faults.add(
                    f"{_name(case)} would get pseudo-labels to train on, and "
                    f"is a test scan as {_name(twin)}. Exclude it from "
                    f"'{case.database}' and build the records again."
                )


def trained_scans(
    run: LoadedRun, stores: Mapping[str, RecordStore]
) -> list[CaseEntry]:
    """Return the training cases of a run, from the records it names.

    run.json holds the sha256 of each cases.json that the run was trained on.
    They are looked up where the run's config says and in the source records:
    only a file of the same hash is believed.

    Raises:
        InputError: a database's records are in neither place.
    """
    about = RunDir(run.run_dir).about
    remedy = (
        "Restore it, or train the run again: without it no test scan is known "
        "to be unseen."
    )
    told = read_json(about, "what began the run (JSON)", remedy)
    hashes = told.get("records_sha256") if isinstance(told, dict) else None
    trained = trained_databases(run.experiment)
    if not (
        isinstance(hashes, dict)
        and hashes.keys() == {*trained}
        and all(isinstance(sha256, str) for sha256 in hashes.values())
    ):
        raise InputError(
            f"{about}: expected 'records_sha256' (which records the run was "
            f"trained on) of {', '.join(trained)}, found {shown(hashes)}. "
            f"{remedy}"
        )
    entries = []
    with Faults() as faults:
        for name, sha256 in hashes.items():
            places = [_records_of(run) / name / TFDS_VERSION]
            places += [stores[name].folder] if name in stores else []
            for folder in places:
                path = folder / CASES_FILE
                if path.is_file() and file_hash(path) == sha256:
                    entries += case_entries(read_cases_file(folder))
                    break
            else:
                faults.add(
                    f"{about}: the run was trained on records of '{name}' "
                    f"(cases.json of sha256 {sha256[:12]}...), found none "
                    f"such in {' or '.join(map(str, places))}: no test scan "
                    "is known to be unseen. Put those records back, or train "
                    "the run again."
                )
    return [entry for entry in entries if entry.split == "train"]


def _scans_near(run: LoadedRun) -> Iterator[CaseEntry]:
    """Yield every case of the run's records folder, if it is still there."""
    for folder in sorted(_records_of(run).glob(f"*/{TFDS_VERSION}")):
        try:
            yield from case_entries(read_cases_file(folder))
        except InputError:
            continue  # of another version; what was trained on is checked


def _records_of(run: LoadedRun) -> Path:
    return Path(run.experiment.records_dir)


def _hash(case: CaseEntry) -> str:
    return case.exact_hash


def _name(case: CaseEntry) -> str:
    return f"{case.database}/{case.case}"
