"""Preprocessed scans of one database -> its folder of records, atomically.

In: a `Plan` (or a `Source`), the npz of each case.
Out: `<records_dir>/<database>/1.0.0/`.
Everything is written below the work folder and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.labels import bitmask_from_vector, resolved_labels
from tfpartial.records.cases_file import sealed
from tfpartial.records.schema import (
    CASES_FILE,
    INDEX_FILE,
    SCHEMA_VERSION,
    SPLITS,
    TFDS_VERSION,
)
from tfrecords_builder.build_plan import Plan
from tfrecords_builder.fingerprints import versions
from tfrecords_builder.scan_cache import ScanJob
from tfrecords_builder.statistics import database_statistics, value_names

if TYPE_CHECKING:
    from tfrecords_builder.builder import Source

Describe = Callable[[Path, int], dict[str, Any]]


def write_database(
    plan: Plan,
    jobs: Sequence[ScanJob],
    experiment: Experiment,
    work: Path,
    written: Callable[[], object],
) -> dict[str, Any]:
    """Write the records of one database and put them in their place.

    Args:
        plan: what to write.
        jobs: one per case of the plan; their npz exist.
        experiment: as declared.
        work: the work folder of this build.
        written: called after each case.

    Returns:
        The content of the new cases.json.
    """
    # Imported here: config and input errors are shown without TensorFlow.
    from tfrecords_builder.builder import Source

    source = Source(
        database=plan.database.name,
        cases=_source_cases(plan, jobs),
        stored_value_labels=bitmask_from_vector(plan.stored_sets),
        block_shape=experiment.build.block_shape,
        hu_window=experiment.preprocess.hu_window,
        body_threshold_hu=experiment.preprocess.body_threshold_hu,
        licence=plan.database.licence,
        citation=plan.database.citation,
        workers=experiment.build.workers,
        written=written,
    )

    def describe(folder: Path, num_records: int) -> dict[str, Any]:
        return _declared(plan, jobs, experiment, folder, num_records)

    return write_records(source, plan.folder, work, describe)


def write_records(
    source: Source, target: Path, work: Path, describe: Describe
) -> dict[str, Any]:
    """Write the records of a source and put them in their place.

    Args:
        source: the cases, in order, and where their npz lie.
        target: the folder that the records become.
        work: the work folder, on the same file system.
        describe: (folder of the new shards, number of records) -> the
            content of cases.json.

    Returns:
        The content of the new cases.json.
    """
    from tfrecords_builder.shard_index import write_index

    beside = work / f"{source.database}.records"
    shutil.rmtree(beside, ignore_errors=True)
    folder = beside / source.database / TFDS_VERSION
    try:
        shards = _write_shards(source, beside)
        cases = [case.case for case in source.cases]
        declared = sealed(describe(folder, write_index(folder, shards, cases)))
        (folder / CASES_FILE).write_text(
            json.dumps(declared, indent=1) + "\n", encoding="utf-8"
        )
        put_in_place(folder, target, work)
    finally:
        # Also when the disk is full: what is half-written takes its space.
        shutil.rmtree(beside, ignore_errors=True)
    return declared


def _write_shards(source: Source, data_dir: Path) -> list[str]:
    """Let TFDS write the shards; return their names in record order."""
    import tensorflow_datasets as tfds

    from tfrecords_builder.builder import make_builder

    tfds.disable_progress_bar()  # counts blocks; ours counts cases
    builder = make_builder(source, data_dir)
    # TFDS announces a download on standard output; there is none.
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    present = builder.info.splits
    return [
        name
        for split in SPLITS
        if split in present
        for name in sorted(present[split].filenames)
    ]


def _source_cases(plan: Plan, jobs: Sequence[ScanJob]) -> list[Any]:
    """Return the `builder.SourceCase` of each case."""
    from tfrecords_builder.builder import SourceCase

    return [
        SourceCase(
            case=case.case_id,
            split=split,
            scan_file=job.target,
            scan_shape=_scan_shape(job.target),
            annotated_labels=bitmask_from_vector(case.annotated),
            resolved_labels=bitmask_from_vector(
                resolved_labels(plan.stored_sets, case.annotated)
            ),
        )
        for case, split, job in zip(plan.cases, plan.splits, jobs, strict=True)
    ]


def _scan_shape(scan_file: Path) -> tuple[int, ...]:
    with np.load(scan_file) as scan:
        return tuple(scan["scan_shape"].tolist())


def _declared(
    plan: Plan,
    jobs: Sequence[ScanJob],
    experiment: Experiment,
    folder: Path,
    num_records: int,
) -> dict[str, Any]:
    """Return cases.json: what was declared, what was found, each case."""
    space = label_space_of(experiment)
    database = plan.database
    annotated = np.stack([case.annotated for case in plan.cases])
    names = value_names(
        plan.stored_sets, space.names, not bool(annotated.all())
    )
    compressed = 0
    entries = []
    for number, job in enumerate(jobs):
        with np.load(job.target) as scan:
            compressed += int(scan["compressed_bytes"])
            entries.append(_case_entry(plan, number, scan))
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "schema_version": SCHEMA_VERSION,
        "database": database.name,
        "fingerprint": plan.fingerprint,
        "label_names": space.names,
        "stored_values": names,
        "stored_value_labels": bitmask_from_vector(plan.stored_sets).tolist(),
        "annotated": _names(np.any(annotated, axis=0), space.names),
        "block_shape": experiment.build.block_shape,
        **experiment.preprocess.model_dump(mode="json"),
        # Not where the scans lie: a folder's name may say who the patient is.
        "declaration": database.model_dump(mode="json", exclude={"path"}),
        "versions": versions(),
        "index": INDEX_FILE,
        "num_records": num_records,
        "bytes_on_disk": size,
        "compressed_scan_bytes": compressed,
        "statistics": database_statistics((j.target for j in jobs), names),
        "cases": entries,
    }


def _case_entry(plan: Plan, number: int, scan: Any) -> dict[str, Any]:
    case = plan.cases[number]
    resolved = resolved_labels(plan.stored_sets, case.annotated)
    return {
        "case": case.case_id,
        "patient": case.patient_id,
        "split": plan.splits[number],
        "scan_shape": scan["scan_shape"].tolist(),
        "spacing_mm": scan["spacing_mm"].tolist(),
        "affine": scan["affine"].tolist(),
        "source_shape": scan["source_shape"].tolist(),
        "prone_turn": bool(case.prone_turn),
        "annotated_labels": bitmask_from_vector(case.annotated).tolist(),
        "resolved_labels": bitmask_from_vector(resolved).tolist(),
        "mean": float(scan["mean"]),
        "sd": float(scan["sd"]),
        "voxel_counts": scan["hu_count"].tolist(),
        "source_value_counts": scan["source_value_counts"].tolist(),
        "fingerprint": plan.case_fingerprints[number],
        "exact_hash": str(scan["exact_hash"]),
    }


def _names(chosen: np.ndarray, label_names: Sequence[str]) -> list[str]:
    """Return the names of a (L,) bool vector, background left out."""
    return [label_names[i] for i in np.flatnonzero(chosen).tolist() if i > 0]


def put_in_place(folder: Path, target: Path, work: Path) -> None:
    """Rename a complete folder to its place; what was there goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = work / f"{target.parent.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)
