"""Scans -> label maps on the scans' own grids.

In: a loaded run; scan files, folders, or a split of the databases.
Out: label maps `<out_dir>/[<database>/]<case>`, named, each with a stamp.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from tfpartial import scans as volumes
from tfpartial.config import Experiment, Predict, Preprocess
from tfpartial.databases import ScanFile, cases_of_split
from tfpartial.databases.sources import SCAN
from tfpartial.errors import Faults, InputError
from tfpartial.files.stamp import holds, write_stamp
from tfpartial.inference.input_files import find_input_files, scan_name
from tfpartial.inference.jobs import SegmentJob, network_key, prediction_key
from tfpartial.inference.sliding_window import (
    context_of,
    patch_function,
    sliding_window,
)
from tfpartial.labels import LabelSpace
from tfpartial.runs.loaded_run import (
    LoadedRun,
    load_network,
    load_run,
)
from tfpartial.scans import Placement, Volume
from tfpartial.scans.formats import (
    label_map_path,
    names_path,
    write_probabilities,
)
from tfpartial.scans.orientation import shear_degrees, tilt_line
from tfpartial.types import Shape3

log = logging.getLogger(__name__)
PROBABILITIES_DIR = "probabilities"


def predict_scan(
    network: keras.Model,
    volume: Volume,
    space: LabelSpace,
    preprocess: Preprocess,
    options: Predict,
    prone_turn: bool = False,
    window_shape: Shape3 | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Segment one scan: the specification that the export repeats.

    Args:
        network: (N, i, j, k, 1) -> (N, i, j, k, L) logits.
        volume: the scan, HU, any orientation.
        space: label space, L channels.
        preprocess: spacing, window and body threshold of the training.
        options: overlap, mirroring, probabilities, window.
        prone_turn: turn the patient (both axes) before the network.
        window_shape: for `options.window_shape` null: the training patch.

    Returns:
        labels: uint8, on the scan's own grid, in its own voxel order.
        probabilities: (..., L) float16 on the same grid, if
            `options.probabilities`, else None; carried over by nearest
            neighbour like the labels, so that both agree.

    Raises:
        InputError: no body in the scan, or a window the network refuses.
    """
    ready = volumes.preprocess(
        volume,
        preprocess.spacing_mm,
        preprocess.hu_window,
        preprocess.body_threshold_hu,
        prone_turn,
    )
    labels, probabilities = predict_grid(
        network,
        ready.hu,
        (ready.mean, ready.sd, preprocess.hu_window),
        space,
        options,
        window_shape,
    )
    grid = (ready.grid, volume.shape, ready.turned_affine)
    restored = volumes.restore_labels(labels, *grid)
    if probabilities is None:
        return restored, None
    # Nearest neighbour moves 16 bits, whatever they mean; outside is 0.
    channels = [
        volumes.restore_labels(
            np.ascontiguousarray(probabilities[..., label]).view(np.uint16),
            *grid,
        )
        for label in range(space.num_labels)
    ]
    return restored, np.stack(channels, axis=-1).view(np.float16)


def predict_grid(
    network: keras.Model,
    hu: np.ndarray,
    statistics: tuple[float, float, tuple[float, float]],
    space: LabelSpace,
    options: Predict,
    window_shape: Shape3 | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Segment a preprocessed scan on its canonical grid.

    Args:
        network: (N, i, j, k, 1) -> (N, i, j, k, L) logits.
        hu: (I, J, K) int16, HU, not clipped; what records hold.
        statistics: mean and sd of the body, HU window; all HU.
        space: label space, L channels.
        options: overlap, mirroring, probabilities, window.
        window_shape: for `options.window_shape` null: the training patch.

    Returns:
        labels (I, J, K) uint8; probabilities (I, J, K, L) float16 or None.

    Raises:
        InputError: no window, or one that the network refuses.
    """
    window = options.window_shape or window_shape
    if window is None:
        raise InputError(
            "predict.window_shape: expected three numbers, found null and no "
            "training patch to take instead. Set predict.window_shape."
        )
    air = np.full((1, 1, 1), np.floor(statistics[2][0]), np.int16)
    swap = tuple(space.mirror_permutation().tolist())
    return sliding_window(
        patch_function(network, window, swap if options.mirror else None),
        volumes.normalise(hu, *statistics),
        window,
        options.overlap,
        space.num_labels,
        options.windows_per_batch,
        float(volumes.normalise(air, *statistics).item()),
        context_of(network),
        options.probabilities,
    )


def predict_files(
    inputs: Sequence[str | Path],
    out_dir: str | Path,
    run: LoadedRun,
    options: Predict | None = None,
    prone_turn: bool = False,
) -> list[Path]:
    """Segment scan files, and those directly in folders.

    Args:
        inputs: files of a known format, or folders of them.
        out_dir: where label maps `<name>` and `<name>.json` go.
        run: the trained run.
        options: default: the run's own `predict` section.
        prone_turn: turn every patient over.

    Returns:
        The label maps, finished earlier ones included.

    Raises:
        InputError: inputs that do not exist, are no scans or share a name,
            before anything is done; unusable scans, all named, after the
            good ones were written.
    """
    paths = find_input_files(inputs)
    options = options or run.experiment.predict
    placement = Placement(options.affine, orientation=options.orientation)
    out_dir = Path(out_dir)
    jobs = [
        SegmentJob(
            ScanFile(path, placement),
            label_map_path(out_dir, scan_name(path)),
            prone_turn,
        )
        for path in paths
    ]
    return run_jobs(jobs, run, options)


def predict_split(
    experiment: Experiment,
    split: str,
    databases: Sequence[str] | None,
    out_dir: str | Path,
) -> list[Path]:
    """Segment the cases of one split with the run of an experiment.

    Args:
        experiment: its `run_dir` names the run, its `predict` section how;
            network, label space and preprocessing are those of the run.
        split: train, validation or test.
        databases: names; None for all.
        out_dir: where the label maps `<database>/<case>` go.

    Returns:
        The label maps, finished earlier ones included.

    Raises:
        InputError: as `predict_files`; unknown split or database; no case.
    """
    run = load_run(experiment.run_dir, trust_code=experiment.network.trust_code)
    cases = cases_of_split(
        experiment.databases,
        run.space,
        experiment.build.splits,
        split,
        databases,
    )
    jobs = [
        SegmentJob(
            case.source,
            label_map_path(Path(out_dir) / case.database, case.case_id),
            case.prone_turn,
        )
        for case in cases
    ]
    return run_jobs(jobs, run, experiment.predict)


def run_jobs(
    jobs: Sequence[SegmentJob], run: LoadedRun, options: Predict
) -> list[Path]:
    """Segment what is not finished; name everything that failed at the end.

    Raises:
        InputError: as `segment_jobs`; unusable scans, all named, after the
            good ones were written.
    """
    with Faults() as faults:
        segment_jobs(jobs, run, options, faults)
    return [job.output for job in jobs]


def segment_jobs(
    jobs: Sequence[SegmentJob], run: LoadedRun, options: Predict, faults: Faults
) -> None:
    """Segment what is not finished, and can be read; each scan is read once.

    Args:
        jobs: which scans, and where their label maps go.
        run: the trained run.
        options: how it predicts.
        faults: receives those of unusable scans; the others are segmented.

    Raises:
        InputError: the weights are missing or damaged; an output would
            replace its scan.
    """
    _refuse_replaced_scans(jobs)
    made_by = network_key(run, options)
    network: keras.Model | None = None

    def leave_out(name: str, fault: str | InputError) -> None:
        faults.add(fault)
        log.warning("%s: left out; the reason is said at the end.", name)

    for job in tqdm(jobs, desc="segment", unit="scan"):
        try:
            volume = job.source.read_image()
        except InputError as error:
            leave_out(job.source.name, error)
            continue
        key = prediction_key(made_by, job, volume)
        if holds(job.stamp, key):
            continue
        if network is None:
            network = load_network(run, options.network)
        try:
            written = _segment(job, volume, network, run, options)
        except InputError as error:
            name = job.source.name
            leave_out(name, f"{name}: not segmented: {error}")
        else:
            write_stamp(job.stamp, key, written)


def _refuse_replaced_scans(jobs: Sequence[SegmentJob]) -> None:
    for job in jobs:
        scan = [path.resolve() for path in job.source.files[SCAN]]
        if job.output.resolve() in scan:
            raise InputError(
                f"{job.source.name}: its label map would replace it. Choose "
                f"another folder for the predictions."
            )


def _segment(
    job: SegmentJob,
    volume: Volume,
    network: keras.Model,
    run: LoadedRun,
    options: Predict,
) -> list[Path]:
    """Segment one scan; write what was asked for; return the files."""
    degrees = shear_degrees(volume.affine, job.source.name)
    if degrees:
        log.info("%s", tilt_line(job.source.name, degrees))
    labels, probabilities = predict_scan(
        network,
        volume,
        run.space,
        run.experiment.preprocess,
        options,
        job.prone_turn,
        run.window_shape,
    )
    names = dict(enumerate(run.space.names))
    volumes.write_volume(job.output, replace(volume, array=labels), names)
    written = [job.output, names_path(job.output)]
    if probabilities is not None:
        path = job.output.parent / PROBABILITIES_DIR / job.output.name
        write_probabilities(path, probabilities, volume, names)
        written.append(path)
    return written
