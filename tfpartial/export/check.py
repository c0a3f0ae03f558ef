"""Does a written export do what predict does? Asked in another process.

In: a SavedModel folder, the network it was made from. Out: the share of
voxels that differ; an error above the limit. Labels alone would say nothing
of a network that finds background everywhere: logits are compared too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfpartial.export.files import check_export
from tfpartial.inference.predict import predict_scan
from tfpartial.inference.sliding_window import context_of
from tfpartial.runs.loaded_run import LoadedRun
from tfpartial.scans import Volume, normalise
from tfpartial.types import Shape3

# Decision 4: the two versions may differ in 0.1 % of voxels.
MAX_SHARE = 1e-3
# Of the logits of one patch, in units of the largest of them (at least 1).
MAX_LOGIT_DIFFERENCE = 1e-4
MAX_ONNX_DIFFERENCE = 1e-3
_PATCH_MEAN, _PATCH_SD = 40.0, 100.0  # HU

# Neither keras nor tfpartial can be imported here, as at a user's site.
_LOAD_AND_SEGMENT = """
import sys
sys.modules["keras"] = None
sys.modules["tfpartial"] = None
import numpy, tensorflow
model = tensorflow.saved_model.load(sys.argv[1])
scan = numpy.load(sys.argv[2])
labels = model.signatures["segment_scan"](
    volume_hu=tensorflow.constant(scan["hu"]),
    affine=tensorflow.constant(scan["affine"]),
)["labels"]
found = {"labels": labels.numpy()}
if scan["patch_hu"].size:
    found["logits"] = model.signatures["segment_patch"](
        image_hu=tensorflow.constant(scan["patch_hu"]),
        mean=tensorflow.constant(scan["mean"]),
        sd=tensorflow.constant(scan["sd"]),
    )["logits"].numpy()
numpy.savez(sys.argv[3], **found)
"""


def check_saved_model(
    path: Path, network: keras.Model, run: LoadedRun
) -> float:
    """Compare a SavedModel with `predict_scan` and with the network itself.

    The scan is synthetic, the patch for the logits is noise.

    Returns:
        The share of voxels whose label differs.

    Raises:
        RuntimeError: it does not load without Keras and this package, more
            than 0.1 % of the voxels differ, or the logits do.
    """
    spacing = run.experiment.preprocess.spacing_mm
    scan = synthetic_scan(run.window_shape, spacing)
    expected, _ = predict_scan(
        network,
        scan,
        run.space,
        run.experiment.preprocess,
        run.experiment.predict.model_copy(update={"probabilities": False}),
        window_shape=run.window_shape,
    )
    patch = noise_patch(network, run.window_shape)
    found, logits = segment_elsewhere(path, scan, patch)
    hu_window = run.experiment.preprocess.hu_window
    image = normalise(patch, _PATCH_MEAN, _PATCH_SD, hu_window)
    _check_logits(path, logits, np.asarray(network(image, training=False)))
    share = float((found != expected).mean())
    if share > MAX_SHARE:
        raise RuntimeError(
            f"{path}: expected the labels of predict on a synthetic scan, "
            f"found {share:.3%} of the voxels different (at most "
            f"{MAX_SHARE:.1%}). The export was not put in place."
        )
    return share


def _check_logits(
    path: Path, found: np.ndarray | None, expected: np.ndarray
) -> None:
    """Raise RuntimeError unless the logits of a patch are the network's."""
    scale = max(1.0, float(np.abs(expected).max()))
    off = np.inf if found is None else np.abs(found - expected).max()
    largest = float(off) / scale
    if not largest <= MAX_LOGIT_DIFFERENCE:
        raise RuntimeError(
            f"{path}: expected the logits of the network on a patch, found a "
            f"relative difference of {largest:.2g} (at most "
            f"{MAX_LOGIT_DIFFERENCE:g}). The export was not put in place."
        )


def noise_patch(network: keras.Model, window_shape: Shape3) -> np.ndarray:
    """Return (1, i, j, k, 1) int16 HU, the context of the network included."""
    context = context_of(network)
    given = [w + 2 * c for w, c in zip(window_shape, context, strict=True)]
    noise = np.random.default_rng(1).normal(_PATCH_MEAN, _PATCH_SD, given)
    return np.rint(noise).astype(np.int16)[None, ..., None]


def segment_elsewhere(
    path: Path, scan: Volume, patch_hu: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run a SavedModel in a process with TensorFlow alone.

    Args:
        path: the SavedModel folder.
        scan: for `segment_scan`.
        patch_hu: (1, i, j, k, 1) int16, for `segment_patch`, if wanted.

    Returns:
        labels: uint8 on the scan's grid.
        logits: (1, i', j', k', L) float32 of the patch; None without one.

    Raises:
        InputError: files of the export are missing, added or changed.
        RuntimeError: the process fails.
    """
    check_export(path)
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "scan.npz"), Path(folder, "found.npz")
        np.savez(
            given,
            hu=scan.array.astype(np.float32),
            affine=scan.affine,
            patch_hu=np.zeros(0, np.int16) if patch_hu is None else patch_hu,
            mean=np.array([_PATCH_MEAN], np.float32),
            sd=np.array([_PATCH_SD], np.float32),
        )
        done = subprocess.run(
            [sys.executable, "-c", _LOAD_AND_SEGMENT, path, given, taken],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{path}: expected a SavedModel that runs with TensorFlow "
                f"alone, found:\n{done.stderr[-2000:]}"
            )
        with np.load(taken) as found:
            return found["labels"], found.get("logits")


def synthetic_scan(
    window_shape: Shape3, spacing_mm: tuple[float, float, float]
) -> Volume:
    """Return a smooth body with organs, oblique, stored in LPS order.

    It is about 1.3 windows wide on the canonical grid, so that windows
    overlap, and shares no spacing with it, so that everything is exercised.
    """
    own = np.asarray(spacing_mm) * (0.9, 1.2, 1.5)
    extent = 1.3 * np.asarray(window_shape) * spacing_mm
    shape = np.ceil(extent / own).astype(int)
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    hu = np.full(shape, -1000.0)
    for centre, radius, value in (
        ((0, 0, 0), 0.85, -100.0),
        ((0, 0, 0), 0.75, 40.0),
        ((0.3, 0.1, -0.2), 0.25, 120.0),
        ((-0.35, 0.0, 0.2), 0.25, 0.0),
        ((0, -0.45, 0), 0.2, 500.0),
    ):
        a, b, c = centre
        distance = np.sqrt((x - a) ** 2 + (y - b) ** 2 + (0.7 * (z - c)) ** 2)
        hu[distance < radius] = value
    hu += np.random.default_rng(0).normal(0, 10, hu.shape)
    cosine, sine = np.cos(np.radians(4)), np.sin(np.radians(4))
    turn = [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(turn) @ np.diag(own * (-1, -1, 1))
    affine[:3, 3] = (100.0, 80.0, -300.0)
    return Volume(np.rint(hu).astype(np.int16), affine)


def check_onnx(path: Path, network: keras.Model, window_shape: Shape3) -> float:
    """Compare an ONNX file with the network on one random window.

    Returns:
        The largest difference of a probability.

    Raises:
        RuntimeError: it is above 0.001.
    """
    import onnxruntime

    image = normalise(
        noise_patch(network, window_shape),
        _PATCH_MEAN,
        _PATCH_SD,
        (-np.inf, np.inf),
    )
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {session.get_inputs()[0].name: image})
    off = tf.nn.softmax(logits) - tf.nn.softmax(network(image, training=False))
    largest = float(tf.reduce_max(tf.abs(off)))
    if not largest <= MAX_ONNX_DIFFERENCE:
        raise RuntimeError(
            f"{path}: expected the probabilities of the network, found a "
            f"difference of {largest:.2g}."
        )
    return largest
