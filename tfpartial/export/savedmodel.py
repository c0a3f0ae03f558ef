"""A run -> a SavedModel that needs neither Keras nor this package.

In: a loaded run. Out: a folder with `saved_model.pb`, `assets/labels.json`,
on request `patch_network.onnx`, and a stamp that vouches for all of them;
verified before it gets its name.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpartial import __version__
from tfpartial.errors import InputError
from tfpartial.export import graph_preprocess as graph
from tfpartial.export.check import check_onnx, check_saved_model
from tfpartial.export.files import LABELS_FILE
from tfpartial.export.graph_frame import frame_of
from tfpartial.export.graph_window import sliding_window_labels
from tfpartial.files.stamp import STAMP_FILE, write_stamp
from tfpartial.inference.sliding_window import (
    context_of,
    probability_function,
)
from tfpartial.inference.windows import check_window
from tfpartial.runs.loaded_run import LoadedRun, Which, load_network
from tfpartial.types import Shape3

log = logging.getLogger(__name__)
ONNX_FILE = "patch_network.onnx"
ONNX_MODULES = ("tf2onnx", "onnx", "onnxruntime")


def export_run(
    run: LoadedRun,
    which: Which,
    out_dir: str | Path,
    onnx: bool = False,
) -> Path:
    """Write a network of a run as SavedModel, check it, and name it.

    Signatures:
        segment_scan: volume_hu (I, J, K) float32 in HU, affine (4, 4)
            float64 voxel -> RAS+ mm -> labels (I, J, K) uint8 on the scan's
            own grid. A prone scan whose affine does not know it: turn the
            affine by diag(-1, -1, 1, 1) first.
        segment_patch: image_hu (N, i, j, k, 1) int16 on the canonical grid,
            context included; mean and sd (N,) float32 of each scan's body ->
            logits and probabilities (N, i', j', k', L) float32.

    Args:
        run: the trained run.
        which: student or teacher.
        out_dir: the SavedModel folder; an earlier export there is replaced.
        onnx: also write the patch network (normalised image -> logits).

    Returns:
        out_dir.

    Raises:
        InputError: out_dir holds something else, the weights are missing, or
            the packages for ONNX are.
        RuntimeError: the written model does not do what predict does.
    """
    out_dir = Path(out_dir)
    _check_target(out_dir)
    if onnx:
        _check_onnx_installed()
    network = load_network(run, which)
    # Beside its goal and renamed: a kill leaves no half SavedModel there.
    beside = out_dir.with_name(f".{out_dir.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write_checked(network, run, which, beside, onnx)
        _replace(out_dir, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out_dir


def _write_checked(
    network: keras.Model,
    run: LoadedRun,
    which: Which,
    beside: Path,
    onnx: bool,
) -> None:
    """Write a SavedModel and compare it with predict."""
    _write_saved_model(network, run, beside)
    description = _description(network, run, which)
    (beside / LABELS_FILE).parent.mkdir(exist_ok=True)
    text = json.dumps(description, indent=2) + "\n"
    (beside / LABELS_FILE).write_text(text, encoding="utf-8")
    if onnx:
        _write_onnx(network, run.window_shape, beside / ONNX_FILE)
    write_stamp(beside / STAMP_FILE, description)
    share = check_saved_model(beside, network, run)
    log.info(
        "SavedModel against predict, on a synthetic scan: %.4f %% of voxels "
        "differ",
        100 * share,
    )
    if onnx:
        off = check_onnx(beside / ONNX_FILE, network, run.window_shape)
        log.info("ONNX against Keras: probabilities differ by %.1e", off)


def _replace(out_dir: Path, beside: Path) -> None:
    """Give a folder its name; an earlier one goes when the new one is there."""
    before = out_dir.with_name(f".{out_dir.name}.old")
    shutil.rmtree(before, ignore_errors=True)
    if out_dir.exists():
        out_dir.rename(before)
    beside.rename(out_dir)
    shutil.rmtree(before, ignore_errors=True)


def _write_saved_model(
    network: keras.Model, run: LoadedRun, path: Path
) -> None:
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "segment_scan",
        scan_function(network, run),
        input_signature=[
            tf.TensorSpec((None, None, None), tf.float32, name="volume_hu"),
            tf.TensorSpec((4, 4), tf.float64, name="affine"),
        ],
    )
    archive.add_endpoint(
        "segment_patch",
        patch_function(network, run),
        input_signature=[
            tf.TensorSpec((None, None, None, None, 1), tf.int16, "image_hu"),
            tf.TensorSpec((None,), tf.float32, name="mean"),
            tf.TensorSpec((None,), tf.float32, name="sd"),
        ],
    )
    archive.write_out(str(path), verbose=False)


def scan_function(
    network: keras.Model, run: LoadedRun
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Return the graph of `predict.predict_scan`: (HU, affine) -> labels."""
    preprocess, options = run.experiment.preprocess, run.experiment.predict
    window, context = run.window_shape, context_of(network)
    check_window(window, context, getattr(network, "divisor", 1))
    swap = tuple(run.space.mirror_permutation().tolist())
    probabilities = probability_function(
        network, swap if options.mirror else None
    )

    def segment_scan(
        volume_hu: tf.Tensor, affine: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        frame = frame_of(tf.shape(volume_hu), affine, preprocess.spacing_mm)
        hu = graph.resample_to_canonical(volume_hu, frame)
        statistics = graph.body_statistics(
            hu, preprocess.hu_window, preprocess.body_threshold_hu
        )
        labels = sliding_window_labels(
            lambda image: probabilities(
                graph.normalise(image, *statistics, preprocess.hu_window)
            ),
            hu,
            window,
            options.overlap,
            run.space.num_labels,
            context,
            preprocess.hu_window[0],
        )
        return {"labels": graph.restore_to_scan(labels, frame)}

    return segment_scan


def patch_function(
    network: keras.Model, run: LoadedRun
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Return the graph of one patch: (HU, mean, sd) -> probabilities."""
    hu_window = run.experiment.preprocess.hu_window

    def segment_patch(
        image_hu: tf.Tensor, mean: tf.Tensor, sd: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        each = (-1, 1, 1, 1, 1)
        image = graph.normalise(
            image_hu, tf.reshape(mean, each), tf.reshape(sd, each), hu_window
        )
        logits = tf.cast(network(image, training=False), tf.float32)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    return segment_patch


def _description(
    network: keras.Model, run: LoadedRun, which: Which
) -> dict[str, Any]:
    """Return what a user of the SavedModel must know, as JSON values."""
    experiment = run.experiment
    labels: list[dict[str, Any]] = [{"index": 0, "name": run.space.names[0]}]
    for index, label in enumerate(run.space.labels, start=1):
        entry = {"index": index, "name": label.name, "tg263": label.tg263}
        labels.append(entry)
    return {
        "notice": "Research use only",
        "tfpartial": __version__,
        "labels": labels,
        "spacing_mm": list(experiment.preprocess.spacing_mm),
        "hu_window": list(experiment.preprocess.hu_window),
        "body_threshold_hu": experiment.preprocess.body_threshold_hu,
        "orientation": "RAS+ (x left to right, y back to front, z feet to "
        "head); segment_scan takes any orientation through its affine",
        "window_shape": list(run.window_shape),
        "context_voxels": list(context_of(network)),
        "overlap": experiment.predict.overlap,
        "mirror": experiment.predict.mirror,
        "network": {"which": which, "name": experiment.network.name},
        "weights_sha256": run.weights_hash(which),
    }


def _check_target(out_dir: Path) -> None:
    """Refuse to replace anything but an earlier export."""
    if not out_dir.exists() or (out_dir / LABELS_FILE).is_file():
        return
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return
    raise InputError(
        f"{out_dir}: expected no folder or an earlier export, found "
        f"{'other files' if out_dir.is_dir() else 'a file'}. Name another "
        f"folder, or remove this one."
    )


def _check_onnx_installed() -> None:
    missing = [m for m in ONNX_MODULES if not importlib.util.find_spec(m)]
    if missing:
        raise InputError(
            f"export.onnx: expected the packages {', '.join(ONNX_MODULES)}, "
            f"did not find {', '.join(missing)}. Install the extra: "
            f"pip install 'tfpartial[onnx]'."
        )


def _write_onnx(network: keras.Model, window_shape: Shape3, path: Path) -> None:
    """Write the patch network: normalised image -> logits."""
    context = context_of(network)
    given = [w + 2 * c for w, c in zip(window_shape, context, strict=True)]
    network(np.zeros((1, *given, 1), np.float32))  # Keras asks for one call
    network.export(str(path), format="onnx", verbose=False)
