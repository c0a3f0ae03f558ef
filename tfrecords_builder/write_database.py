"""Preprocessed scans of one database -> its folder of records, atomically.

In: a `BuildPlan`, the npz of each case. Out: its cases.json, then
`<records_dir>/<database>/1.0.0/`.
Everything is written below the work folder and renamed when it is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.files.stamp import STAMP_FILE, write_stamp
from tfpartial.labels import bitmask_from_vector, resolved_labels
from tfpartial.records.schema import CASES_FILE, SCHEMA_VERSION
from tfrecords_builder.build_plan import BuildPlan
from tfrecords_builder.fingerprints import versions
from tfrecords_builder.statistics import gather_numbers, value_names


def describe_database(
    plan: BuildPlan, scan_files: Sequence[Path], experiment: Experiment
) -> dict[str, Any]:
    """Return cases.json: what was declared, what was found, each case.

    Args:
        plan: what to write.
        scan_files: npz of each case of the plan.
        experiment: as declared.
    """
    space = label_space_of(experiment)
    database = plan.database
    annotated = np.stack([case.annotated for case in plan.cases])
    names = value_names(
        plan.stored_sets, space.names, not bool(annotated.all())
    )
    scans, statistics = gather_numbers(scan_files, names)
    named = np.flatnonzero(annotated.any(axis=0)).tolist()
    return {
        "schema_version": SCHEMA_VERSION,
        "database": database.name,
        "fingerprint": plan.fingerprint,
        "label_names": space.names,
        "stored_values": names,
        "stored_value_labels": bitmask_from_vector(plan.stored_sets).tolist(),
        "annotated": [space.names[index] for index in named if index > 0],
        "block_shape": experiment.build.block_shape,
        **experiment.preprocess.model_dump(mode="json"),
        # Not where the scans lie: a folder's name may say who the patient is.
        "declaration": database.model_dump(mode="json", exclude={"path"}),
        "versions": versions(),
        "compressed_scan_bytes": sum(int(s["compressed_bytes"]) for s in scans),
        "statistics": statistics,
        "cases": [
            _case_entry(plan, number, scan) for number, scan in enumerate(scans)
        ],
    }


def _case_entry(
    plan: BuildPlan, number: int, scan: Mapping[str, Any]
) -> dict[str, Any]:
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
        "shear_degrees": float(scan["shear_degrees"]),
        "grid_off_mm": float(scan["grid_off_mm"]),
    }


def write_database(
    declared: Mapping[str, Any],
    scan_files: Sequence[Path],
    target: Path,
    work: Path,
    written: Callable[[], object],
    workers: int = 2,
) -> dict[str, Any]:
    """Write the records of one database and put them in their place.

    Args:
        declared: cases.json, but for what is known of the written files.
        scan_files: npz of each case; only image and labels are read.
        target: the folder that the records become.
        work: the work folder, on the same file system.
        written: called after each case.
        workers: threads that compress.

    Returns:
        The content of the new cases.json.
    """
    # Imported here: config and input errors are shown without TensorFlow.
    from tfrecords_builder.write_shards import write_shards

    folder = work / f"{declared['database']}.records"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        number = write_shards(folder, declared, scan_files, workers, written)
        size = sum(path.stat().st_size for path in folder.iterdir())
        whole = {**declared, "num_records": number, "bytes_on_disk": size}
        (folder / CASES_FILE).write_text(
            json.dumps(whole, indent=1) + "\n", encoding="utf-8"
        )
        key = {"fingerprint": declared["fingerprint"]}
        write_stamp(folder / STAMP_FILE, key, list(folder.iterdir()))
        put_in_place(folder, target, work)
    finally:
        # Also when the disk is full: what is half-written takes its space.
        shutil.rmtree(folder, ignore_errors=True)
    return whole


def put_in_place(folder: Path, target: Path, work: Path) -> None:
    """Rename a complete folder to its place; what was there goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = work / f"{target.parent.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)
