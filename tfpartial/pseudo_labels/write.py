"""The records of one database of the target, and what their cases.json says.

In: a `DatabasePlan`, the npz of its cases, the run. Out: records in place.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tfpartial.labels import bitmask_from_vector
from tfpartial.pseudo_labels.database_plan import DatabasePlan
from tfpartial.pseudo_labels.overwrite_case import OverwriteJob
from tfpartial.runs.loaded_run import LoadedRun
from tfrecords_builder.fingerprints import versions
from tfrecords_builder.statistics import gather_numbers
from tfrecords_builder.write_database import put_in_place, write_database


def write_pseudo_labelled(
    plan: DatabasePlan,
    jobs: Sequence[OverwriteJob],
    run: LoadedRun,
    work: Path,
) -> None:
    """Write the records of one database from the npz of its cases.

    What the annotators made stays as it was: `annotated_labels` and
    `resolved_labels` do not know pseudo-labels, so no Dice counts them.

    Args:
        plan: what to write.
        jobs: one per case; their npz exist.
        run: the predicting run.
        work: the work folder of this call.
    """
    files = [job.target for job in jobs]
    declared = _describe(plan, jobs, run)
    what = f"write {plan.database.name}"
    with tqdm(total=len(jobs), desc=what, unit="scan") as bar:
        write_database(declared, files, plan.folder, work, bar.update)


def copy_records(plan: DatabasePlan, work: Path) -> None:
    """Copy the records of a database that stays as it is."""
    beside = work / f"{plan.database.name}.copy"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(plan.store.folder, beside)
    put_in_place(beside, plan.folder, work)


def _describe(
    plan: DatabasePlan, jobs: Sequence[OverwriteJob], run: LoadedRun
) -> dict[str, Any]:
    """Return cases.json: that of the source, and what was changed by whom."""
    names = _value_names(plan)
    scans, statistics = gather_numbers([job.target for job in jobs], names)
    return plan.declared | {
        "fingerprint": plan.fingerprint,
        "stored_values": names,
        "stored_value_labels": bitmask_from_vector(plan.stored_sets).tolist(),
        "versions": versions(),
        "compressed_scan_bytes": sum(int(s["compressed_bytes"]) for s in scans),
        "statistics": statistics,
        "cases": [
            _case_entry(job, scan)
            for job, scan in zip(jobs, scans, strict=True)
        ],
        "pseudo_labels": _who_said_so(plan, run),
    }


def _value_names(plan: DatabasePlan) -> list[str]:
    labels = np.flatnonzero(plan.code_of_label)
    added = [f"pseudo {plan.store.label_names[label]}" for label in labels]
    return [*plan.declared["stored_values"], *added]


def _case_entry(job: OverwriteJob, scan: Mapping[str, Any]) -> dict[str, Any]:
    plan = job.plan
    entry = plan.declared["cases"][job.number] | {
        "fingerprint": plan.case_fingerprint(job.number),
        "voxel_counts": scan["hu_count"].tolist(),
    }
    if not job.is_segmented:
        return entry
    background = int(scan["background"])
    changed = int(scan["changed"].sum())
    voxels = int(np.prod(scan["scan_shape"]))
    return entry | {
        "pseudo_labels": {
            "voxels": {
                plan.store.label_names[label]: int(scan["changed"][label])
                for label in np.flatnonzero(plan.code_of_label)
            },
            "all_voxels": voxels,
            "background_voxels": background,
            "share_of_voxels": changed / voxels,
            "share_of_background": changed / max(background, 1),
        }
    }


def _who_said_so(plan: DatabasePlan, run: LoadedRun) -> dict[str, Any]:
    """Return which run said so, and what its stored values are."""
    names, codes = plan.store.label_names, plan.code_of_label
    return {
        "run": run.run_dir.resolve().name,
        "network": run.experiment.predict.network,
        "seed": run.experiment.seed,
        **plan.network_key,
        "source_fingerprint": plan.declared["fingerprint"],
        "stored_values": {
            names[label]: int(codes[label]) for label in np.flatnonzero(codes)
        },
    }
