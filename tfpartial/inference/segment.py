"""One scan, in Python: a run and a path or an array -> its label map.

In: a loaded run, a scan. Out: the same labels that `predict` writes.
"""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np

from tfpartial.errors import InputError
from tfpartial.inference.predict import predict_scan
from tfpartial.runs.loaded_run import LoadedRun, load_network
from tfpartial.runs.run_dir import Which
from tfpartial.scans import Volume, read_image

Scan = str | Path | tuple[np.ndarray, np.ndarray]
NETWORKS_KEPT = 4


def segment(run: LoadedRun, scan: Scan, prone_turn: bool = False) -> Volume:
    """Segment one scan as the run's `predict` section says.

    Args:
        run: of `load_run`.
        scan: a file, or an array (I, J, K) in HU with its affine (4, 4),
            voxel index -> RAS+ mm.
        prone_turn: turn the patient over before the network sees it.

    Returns:
        (I, J, K) uint8 label indices on the scan's own grid, with its affine;
        `run.space.names` says what they are called.

    Raises:
        InputError: a scan that cannot be read or has no body in it; weights
            that are missing or damaged.
    """
    labels, _ = _predict(run, scan, prone_turn)
    return labels


def segment_with_probabilities(
    run: LoadedRun, scan: Scan, prone_turn: bool = False
) -> tuple[Volume, np.ndarray]:
    """Segment one scan; see `segment`.

    Returns:
        The labels, and (I, J, K, L) float16 probabilities on the same grid.
    """
    options = run.experiment.predict.model_copy(update={"probabilities": True})
    experiment = run.experiment.model_copy(update={"predict": options})
    with_them = LoadedRun(experiment, run.space, run.run_dir)
    labels, probabilities = _predict(with_them, scan, prone_turn)
    assert probabilities is not None  # noqa: S101
    return labels, probabilities


def _predict(
    run: LoadedRun, scan: Scan, prone_turn: bool
) -> tuple[Volume, np.ndarray | None]:
    volume = _volume_of(scan)
    options = run.experiment.predict
    labels, probabilities = predict_scan(
        _trained(_Key(run, options.network)),
        volume,
        run.space,
        run.experiment.preprocess,
        options,
        prone_turn,
        run.window_shape,
    )
    return Volume(labels, volume.affine), probabilities


def _volume_of(scan: Scan) -> Volume:
    """Return a scan as a volume.

    Raises:
        InputError: it cannot be read, or is no scan.
    """
    if not isinstance(scan, tuple):
        return read_image(scan)
    try:
        array, affine = scan
        return Volume(np.asarray(array), affine)
    except ValueError as error:
        raise InputError(
            f"scan: expected an array (I, J, K) and its affine (4, 4), found "
            f"something else: {error}"
        ) from None


class _Key:
    """A network of a run; equal where the weights on disk are."""

    def __init__(self, run: LoadedRun, which: Which) -> None:
        self.run, self.which = run, which
        status = run.weights_path(which).stat()
        self._place = (
            run.run_dir.resolve(), which, status.st_mtime_ns, status.st_size
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)


@functools.lru_cache(maxsize=NETWORKS_KEPT)
def _trained(key: _Key) -> keras.Model:
    return load_network(key.run, key.which)
