"""What an audit has to measure, and whether it can be written down.

In: an experiment, folders. Out: one `MeasureJob` per case, or all the faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfpartial.audit.measures import MeasureJob
from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import check_database_names, find_all_cases
from tfpartial.errors import InputError
from tfpartial.evaluation.predictions import prediction_path
from tfpartial.files.whole_file import write_whole


def check_writable(folder: Path) -> None:
    """Make the folder of the results now, not after hours of measuring."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder to write into, found "
            f"{error.strerror}. Choose another --out_dir."
        ) from None


def measure_jobs(
    experiment: Experiment,
    databases: Sequence[str] | None,
    predictions_dir: str | Path | None,
) -> list[MeasureJob]:
    """Return what to measure, in declared order."""
    space = label_space_of(experiment)
    known = [database.name for database in experiment.databases]
    check_database_names(databases or (), known)
    found, assigned = find_all_cases(
        experiment.databases, space, experiment.build.splits
    )
    folder = None if predictions_dir is None else Path(predictions_dir)
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder of predictions, found none. Run "
            f"predict first, or give --run_dir."
        )
    jobs = []
    for database in experiment.databases:
        if database.name not in (databases or known):
            continue
        for case in found[database.name]:
            path = None if folder is None else prediction_path(folder, case)
            jobs.append(
                MeasureJob(
                    case,
                    database,
                    space,
                    assigned[database.name, case.case_id],
                    path if path is not None and path.is_file() else None,
                )
            )
    if not jobs:
        raise InputError(
            f"databases {', '.join(databases or known)}: expected a case, "
            f"found none. Check 'path' and 'exclude'."
        )
    if folder is not None and all(job.prediction is None for job in jobs):
        raise InputError(
            f"{folder}: expected label maps <database>/<case> of some case, "
            f"found none. Run predict on these databases first."
        )
    return jobs
