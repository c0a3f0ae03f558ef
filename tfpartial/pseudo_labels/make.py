"""pseudo_label: source records and a run -> a second records folder.

Steps: check everything; then for each database segment its training scans
(one cached file each) and write its records, or copy those that stay; sum up.
A killed call goes on where it stopped; the same call again does nothing.
"""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfpartial.config import Experiment, label_space_of
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import read_json
from tfpartial.inference.predict import predict_grid
from tfpartial.pseudo_labels.database_plan import (
    make_plans,
    open_source,
)
from tfpartial.pseudo_labels.guard import check_request
from tfpartial.pseudo_labels.overwrite_case import (
    OverwriteJob,
    Segment,
    overwrite_case,
    overwrite_jobs,
)
from tfpartial.pseudo_labels.report import write_report
from tfpartial.pseudo_labels.write import copy_records, write_pseudo_labelled
from tfpartial.runs.loaded_run import LoadedRun, load_network
from tfrecords_builder.manifest import write_manifest
from tfrecords_builder.records_folder import (
    PSEUDO_LABELLED,
    open_records_folder,
    write_log,
)
from tfrecords_builder.scan_cache import drop_stale

log = logging.getLogger(__name__)


def pseudo_label(
    experiment: Experiment,
    run: LoadedRun,
    target_records_dir: str | Path,
    only: Sequence[str] | None = None,
) -> Path:
    """Make records whose open background says what a run predicts there.

    Args:
        experiment: as declared; its `records_dir` is the source.
        run: the finished run; its `predict` section says how it predicts.
        target_records_dir: the folder to write.
        only: databases that get pseudo-labels; None is every one with
            training cases that leave labels unannotated.

    Returns:
        The target folder, complete: it can be a `records_dir`.

    Raises:
        InputError: every fault found, before any scan is segmented; see
            `guard.check_request`.
    """
    target = Path(target_records_dir)
    stores = open_source(experiment)
    chosen = check_request(experiment, run, stores, only, target)
    plans = make_plans(experiment, run, stores, chosen, target)
    space = label_space_of(experiment)
    # Only a call with something to segment needs the network, and once.
    segmenter = functools.cache(lambda: load_segmenter(run))
    with open_records_folder(target, space, PSEUDO_LABELLED) as work:
        for plan in plans:
            name = plan.database.name
            if plan.is_present:
                log.info("%s: up to date", name)
                continue
            if plan.is_copied:
                copy_records(plan, work)
                log.info("%s: copied unchanged", name)
            else:
                jobs = overwrite_jobs(plan, work)
                _overwrite(jobs, name, segmenter, target)
                write_pseudo_labelled(plan, jobs, run, work)
            write_log(target, f"wrote {name}")
        for folder in filter(Path.is_dir, work.iterdir()):
            shutil.rmtree(folder)
        write_manifest(target, _warnings(Path(experiment.records_dir)))
        write_report(target)
    return target


def _overwrite(
    jobs: Sequence[OverwriteJob],
    database: str,
    segmenter: Callable[[], Segment],
    target: Path,
) -> None:
    """Make the npz of every case that has none yet."""
    drop_stale([job.target for job in jobs])
    pending = [job for job in jobs if not job.target.is_file()]
    done = len(jobs) - len(pending)
    log.info("%s: %d scans, %d done before", database, len(jobs), done)
    for job in tqdm(pending, desc=f"segment {database}", unit="scan"):
        overwrite_case(job, segmenter())
        if job.is_segmented:
            write_log(target, f"segmented {job.name}")


def load_segmenter(run: LoadedRun) -> Segment:
    """Load a run's network; return HU of a canonical grid -> label indices.

    Raises:
        InputError: see `load_network`.
    """
    options = run.experiment.predict.model_copy(update={"probabilities": False})
    network = load_network(run, options.network)
    hu_window = run.experiment.preprocess.hu_window

    def segment(hu: np.ndarray, mean: float, sd: float) -> np.ndarray:
        labels, _ = predict_grid(
            network,
            hu,
            (mean, sd, hu_window),
            run.space,
            options,
            run.window_shape,
        )
        return labels

    return segment


def _warnings(source: Path) -> list[str]:
    """Return what the source's build warned about: it holds here too."""
    try:
        manifest = read_json(source / "manifest.json", "a manifest (JSON)", "")
    except InputError:
        return []
    lines = manifest.get("warnings") if isinstance(manifest, dict) else None
    if not isinstance(lines, list):
        return []
    return [line for line in lines if isinstance(line, str)]
