"""One scan of the source records -> the npz its new records are made from.

In: a `DatabasePlan`, a case number, the network.
Out: an npz like the builder's, with the counts of what changed; it exists
only when it is complete, so that a killed call segments no scan twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.pseudo_labels.database_plan import DatabasePlan
from tfpartial.pseudo_labels.overwrite import (
    count_changes,
    overwrite_background,
)
from tfrecords_builder.scan_cache import (
    compressed_bytes,
    hu_statistics,
    write_scan,
)

# (HU (I, J, K) int16, mean, sd) -> (I, J, K) label indices.
Segment = Callable[[np.ndarray, float, float], np.ndarray]


@dataclass(frozen=True, eq=False)
class OverwriteJob:
    """One case on its way into the target.

    Attributes:
        plan: of its database.
        number: of the case in the source store.
        target: the npz to write.
    """

    plan: DatabasePlan
    number: int
    target: Path

    @property
    def is_segmented(self) -> bool:
        """Whether the network sees this scan: training scans only."""
        return self.plan.store.cases[self.number].split == "train"

    @property
    def name(self) -> str:
        """`<database>/<case>`."""
        entry = self.plan.store.cases[self.number]
        return f"{entry.database}/{entry.case}"


def overwrite_jobs(plan: DatabasePlan, work: Path) -> list[OverwriteJob]:
    """Return one job per case; the name of its file holds the fingerprint."""
    folder = work / plan.database.name
    return [
        OverwriteJob(
            plan,
            number,
            folder / f"{entry.case}-{plan.case_fingerprint(number)[:16]}.npz",
        )
        for number, entry in enumerate(plan.store.cases)
    ]


def overwrite_case(job: OverwriteJob, segment: Segment) -> None:
    """Segment a training scan, overwrite its background, write its npz.

    Cases of the other splits are written as they are, never segmented.
    """
    plan, entry = job.plan, job.plan.store.cases[job.number]
    hu, before = plan.store.read_scan(job.number)
    after = before
    if job.is_segmented:
        after = overwrite_background(
            before,
            segment(hu, entry.mean, entry.sd),
            entry.annotated,
            plan.code_of_label,
        )
    arrays: dict[str, Any] = {
        "image": hu,
        "labels": after,
        "scan_shape": np.asarray(hu.shape),
        "affine": entry.affine,
        "spacing_mm": np.asarray(entry.spacing_mm, np.float64),
        "mean": np.float64(entry.mean),
        "sd": np.float64(entry.sd),
        "compressed_bytes": compressed_bytes(hu, after),
        "changed": count_changes(before, after, plan.code_of_label),
        "background": np.count_nonzero(before == 0),
        **hu_statistics(hu, after, len(plan.stored_sets)),
    }
    write_scan(job.target, arrays)
