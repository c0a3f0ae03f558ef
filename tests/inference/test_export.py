"""SavedModel and ONNX do what predict does, without Keras or tfpartial."""

import dataclasses
import functools
import json
import logging
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.errors import InputError
from tfpartial.export import check as export_check
from tfpartial.export import savedmodel as export
from tfpartial.export.check import noise_patch, segment_elsewhere
from tfpartial.export.savedmodel import export_run
from tfpartial.files.stamp import STAMP_FILE, write_stamp
from tfpartial.inference.predict import predict_scan
from tfpartial.models import build_network
from tfpartial.runs.loaded_run import load_network, load_run
from tfpartial.scans import Volume, normalise

MAX_SHARE = 1e-3


def segment_here(path, scan, patch_hu):
    """Stand in for the other process, which takes seconds to import."""
    model = tf.saved_model.load(str(path))
    found = model.signatures["segment_patch"](
        image_hu=tf.constant(patch_hu),
        mean=tf.constant([export_check._PATCH_MEAN]),
        sd=tf.constant([export_check._PATCH_SD]),
    )
    return segment(model, scan), found["logits"].numpy()


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    target = tmp_path_factory.mktemp("export") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_check, "segment_elsewhere", segment_here)
        return export_run(run, "student", target)


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(str(exported))


def stored_as(volume, order, flips):
    """Return the same scan in space, stored with other voxel axes."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for axis, source in enumerate(order):
        change[source, axis] = -1 if flips[axis] else 1
        change[source, 3] = volume.shape[source] - 1 if flips[axis] else 0
    return Volume(
        rearranged(volume.array, order, flips), volume.affine @ change
    )


def rearranged(array, order, flips):
    turned = tuple(slice(None, None, -1 if f else 1) for f in flips)
    return np.ascontiguousarray(array.transpose(order)[turned])


@functools.cache
def network_of(run_dir):
    return load_network(load_run(run_dir))


def expected_labels(run, volume):
    labels, _ = predict_scan(
        network_of(run.run_dir),
        volume,
        run.space,
        run.experiment.preprocess,
        run.experiment.predict,
        window_shape=run.window_shape,
    )
    return labels


def segment(model, volume):
    return model.signatures["segment_scan"](
        volume_hu=tf.constant(volume.array, tf.float32),
        affine=tf.constant(volume.affine),
    )["labels"].numpy()


@pytest.mark.slow
def test_equals_predict_where_keras_cannot_be_imported(exported, run, scan):
    patch = noise_patch(network_of(run.run_dir), run.window_shape)
    found, logits = segment_elsewhere(exported, scan, patch)
    expected = expected_labels(run, scan)
    assert found.dtype == np.uint8
    assert (found != expected).mean() <= MAX_SHARE
    assert len(np.unique(expected)) >= 3
    here = segment_here(exported, scan, patch)[1]
    np.testing.assert_allclose(logits, here, atol=1e-5)


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), (True, True, False)),  # LPS
        ((1, 0, 2), (True, True, True)),  # PLI
        ((2, 0, 1), (False, True, False)),  # SLA
    ],
)
def test_copies_of_one_scan_get_the_same_labels(model, run, scan, order, flips):
    copy = stored_as(scan, order, flips)
    ras = rearranged(segment(model, scan), order, flips)
    np.testing.assert_array_equal(segment(model, copy), ras)
    np.testing.assert_array_equal(
        expected_labels(run, copy),
        rearranged(expected_labels(run, scan), order, flips),
    )


@pytest.mark.parametrize("kind", ["oblique", "small", "thin", "long"])
def test_any_scan_equals_predict(model, run, scan, kind):
    array, affine = scan.array, scan.affine.copy()
    if kind == "oblique":
        c, s = np.cos(0.2), np.sin(0.2)
        affine = (
            np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
            @ affine
        )
    elif kind == "small":
        array = array[8:18, 5:15, 8:16]
    elif kind == "thin":
        array = array[:, :, 12:13]
    else:
        array = np.tile(array, (1, 1, 3))
    volume = Volume(array, affine)
    off = segment(model, volume) != expected_labels(run, volume)
    assert off.mean() <= MAX_SHARE


def test_the_patch_signature_is_the_network(model, run, scan):
    hu = scan.array[:16, :16, :16][None, ..., None]
    hu = np.concatenate([hu, hu // 2])
    mean, sd = np.float32([10, 20]), np.float32([50, 0.1])
    found = model.signatures["segment_patch"](
        image_hu=tf.constant(hu), mean=mean, sd=sd
    )
    scale = np.maximum(sd, 1)[:, None, None, None, None]
    image = (hu.clip(-200, 200) - mean[:, None, None, None, None]) / scale
    logits = network_of(run.run_dir)(image.astype("f4"), training=False)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found["probabilities"], tf.nn.softmax(logits), atol=1e-5
    )


def test_mirroring_is_in_the_graph(run, scan):
    predict = run.experiment.predict.model_copy(update={"mirror": True})
    other = dataclasses.replace(
        run, experiment=run.experiment.model_copy(update={"predict": predict})
    )
    found = tf.function(export.scan_function(network_of(run.run_dir), other))(
        tf.constant(scan.array, tf.float32), tf.constant(scan.affine)
    )["labels"]
    assert (found != expected_labels(other, scan)).numpy().mean() <= MAX_SHARE
    assert (found != expected_labels(run, scan)).numpy().any()


def test_the_assets_say_what_a_user_must_know(exported, run):
    about = json.loads((exported / "assets" / "labels.json").read_text())
    assert about["notice"] == "Research use only"
    assert [label["name"] for label in about["labels"]] == list(run.space.names)
    assert about["labels"][1]["tg263"] == "Bone_Pelvic"
    assert about["spacing_mm"] == [4, 4, 4]
    assert about["hu_window"] == [-200, 200]
    assert about["weights_sha256"] == run.weights_hash("student")
    assert about["tfpartial"]


@pytest.mark.slow
def test_teacher_and_onnx_replace_an_earlier_export(run, tmp_path, caplog):
    target = tmp_path / "model"
    (target / "assets").mkdir(parents=True)
    (target / "assets" / "labels.json").write_text("{}")
    with caplog.at_level(logging.INFO):
        assert export_run(run, "teacher", target, onnx=True) == target
    assert (target / "patch_network.onnx").is_file()
    about = json.loads((target / "assets" / "labels.json").read_text())
    assert about["network"]["which"] == "teacher"
    assert "% of voxels differ" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_other_files_are_not_replaced(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(InputError, match="found other files"):
        export_run(run, "student", tmp_path)
    with pytest.raises(InputError, match="found a file"):
        export_run(run, "student", tmp_path / "thesis.txt")


def test_a_missing_extra_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr(
        export.importlib.util,
        "find_spec",
        lambda name: None if name == "tf2onnx" else object(),
    )
    with pytest.raises(InputError, match=r"find tf2onnx.*tfpartial\[onnx\]"):
        export_run(run, "student", tmp_path / "model", onnx=True)


def test_an_export_that_differs_is_not_put_in_place(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export_check,
        "segment_elsewhere",
        lambda path, scan, patch: (
            np.full(scan.shape, 3, np.uint8),
            network_of(run.run_dir)(normalised(run, patch)).numpy(),
        ),
    )
    monkeypatch.setattr(
        export, "_write_saved_model", lambda network, run, path: path.mkdir()
    )
    with pytest.raises(RuntimeError, match="was not put in place"):
        export_run(run, "student", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def normalised(run, patch_hu):
    return normalise(
        patch_hu,
        export_check._PATCH_MEAN,
        export_check._PATCH_SD,
        run.experiment.preprocess.hu_window,
    )


@pytest.mark.parametrize("off", [0.01, np.nan])
def test_background_everywhere_does_not_hide_other_weights(
    run, tmp_path, monkeypatch, off
):
    network = build_network("unet3d", num_labels=4, seed=2, filters=[4, 8])
    kernel, bias = network.trainable_variables[-2:]
    kernel.assign(kernel * 0.1)
    bias.assign([30.0, 0.0, 0.0, 0.0])

    def other_weights(path, scan, patch_hu):
        logits = network(normalised(run, patch_hu)).numpy()
        logits[..., 1] += off
        return np.zeros(scan.shape, np.uint8), logits

    assert not segment_with(network, run).any()
    monkeypatch.setattr(export_check, "segment_elsewhere", other_weights)
    with pytest.raises(RuntimeError, match=r"expected the logits.*not put in"):
        export_check.check_saved_model(tmp_path, network, run)
    off = 0.0
    assert export_check.check_saved_model(tmp_path, network, run) == 0


def segment_with(network, run):
    scan = export_check.synthetic_scan(run.window_shape, (4.0, 4.0, 4.0))
    labels, _ = predict_scan(
        network,
        scan,
        run.space,
        run.experiment.preprocess,
        run.experiment.predict,
        window_shape=run.window_shape,
    )
    return labels


def test_a_model_that_fails_elsewhere_is_reported(tmp_path, scan, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(InputError, match=r"stamp.json: expected a stamp"):
        segment_elsewhere(tmp_path, scan)
    write_stamp(tmp_path / STAMP_FILE, {})
    with pytest.raises(RuntimeError, match="TensorFlow alone"):
        segment_elsewhere(tmp_path, scan)
