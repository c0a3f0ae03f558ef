"""Scans, files and splits -> label maps; reruns; what goes wrong."""

import dataclasses
import functools
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tfpartial import scans as volumes
from tfpartial.config import Predict
from tfpartial.errors import InputError
from tfpartial.inference import jobs, predict
from tfpartial.inference.input_files import find_input_files
from tfpartial.inference.predict import (
    predict_files,
    predict_scan,
    predict_split,
)
from tfpartial.runs.loaded_run import load_network, load_run
from tfpartial.scans import Volume


@functools.cache
def network_of(run_dir):
    return load_network(load_run(run_dir))


def segment(run, volume, prone_turn=False, **options):
    return predict_scan(
        network_of(run.run_dir),
        volume,
        run.space,
        run.experiment.preprocess,
        Predict(**options),
        prone_turn,
        run.window_shape,
    )


def put(folder, name, volume):
    folder.mkdir(exist_ok=True)
    volumes.write_volume(folder / name, volume)
    return folder / name


@pytest.fixture
def segmented(monkeypatch):
    """Segment as background, quickly; return the list of sources done."""
    done = []
    original = predict._segment

    def count(job, *others):
        done.append(Path(job.source.name).name)
        return original(job, *others)

    def background(network, volume, space, preprocess, *others):
        volumes.preprocess(
            volume,
            preprocess.spacing_mm,
            preprocess.hu_window,
            preprocess.body_threshold_hu,
        )
        return np.zeros(volume.shape, np.uint8), None

    monkeypatch.setattr(predict, "_segment", count)
    monkeypatch.setattr(predict, "predict_scan", background)
    monkeypatch.setattr(predict, "load_network", lambda run, which: None)
    return done


def test_labels_are_on_the_scans_own_grid(run, scan):
    labels, probabilities = segment(run, scan)
    assert labels.shape == scan.shape
    assert labels.dtype == np.uint8
    assert probabilities is None
    assert len(np.unique(labels)) >= 3


def test_probabilities_agree_with_the_labels(run, scan):
    labels, probabilities = segment(run, scan, probabilities=True)
    assert probabilities.shape == (*scan.shape, 4)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=2e-3)
    chosen = np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]
    np.testing.assert_array_equal(chosen, probabilities.max(-1))


def test_a_scan_smaller_than_the_window(run, scan):
    small = Volume(scan.array[10:20, 6:16, 8:17], scan.affine)
    labels, _ = segment(run, small)
    assert labels.shape == (10, 10, 9)


def test_a_prone_scan_is_turned_in_both_axes(run, scan):
    """The turned scan, stored without its turn, segments like the original."""
    lying = Volume(scan.array, volumes.turn_prone(scan.affine))
    expected, _ = segment(run, scan)
    found, _ = segment(run, lying, prone_turn=True)
    np.testing.assert_array_equal(found, expected)
    other, _ = segment(run, lying)
    assert (other != expected).any()


def test_mirror_option_changes_probabilities(run, scan):
    _, plain = segment(run, scan, probabilities=True)
    _, both = segment(run, scan, probabilities=True, mirror=True)
    assert np.abs(plain.astype("f4") - both).max() > 1e-3


def test_without_any_window_the_remedy_is_named(run, scan):
    with pytest.raises(InputError, match="Set predict.window_shape"):
        predict_scan(
            load_network(run), scan, run.space, run.experiment.preprocess,
            Predict(),
        )  # fmt: skip


def test_files_and_folders_become_label_maps_with_names(run, scan, tmp_path):
    one = put(tmp_path / "in", "a.nii.gz", scan)
    put(tmp_path / "in", "b.nii", scan)
    out = tmp_path / "out"
    options = Predict(probabilities=True)
    written = predict_files([tmp_path / "in", one], out, run, options)
    assert written == [out / "a.nii.gz", out / "b.nii.gz"]
    found = volumes.read_labels(written[0])
    expected, probabilities = segment(run, scan, probabilities=True)
    np.testing.assert_array_equal(found.array, expected)
    np.testing.assert_allclose(found.affine, scan.affine)
    names = json.loads((out / "a.json").read_text())["labels"]
    assert names["2"] == "left"
    kept = nibabel.load(out / "probabilities" / "a.nii.gz")
    np.testing.assert_allclose(kept.get_fdata(), probabilities, atol=2e-5)
    assert b"Research use only" in bytes(kept.header["descrip"])


def test_a_rerun_does_only_what_changed(run, scan, tmp_path, segmented):
    source = put(tmp_path / "in", "a.nii.gz", scan)
    put(tmp_path / "in", "b.nii.gz", scan)
    out = tmp_path / "out"

    def again(options=None, run=run):
        segmented.clear()
        predict_files([tmp_path / "in"], out, run, options)
        return list(segmented)

    assert again() == ["a.nii.gz", "b.nii.gz"]
    assert again() == []
    assert again(Predict(windows_per_batch=1)) == []
    # another network, another option, another scan, a lost or foreign output
    assert again(Predict(network="teacher")) == ["a.nii.gz", "b.nii.gz"]
    assert again(Predict(overlap=0.25)) == ["a.nii.gz", "b.nii.gz"]
    assert again() == ["a.nii.gz", "b.nii.gz"]
    volumes.write_volume(source, Volume(scan.array[1:], scan.affine))
    assert again() == ["a.nii.gz"]
    (out / "b.nii.gz").unlink()
    assert again() == ["b.nii.gz"]
    volumes.write_volume(out / "b.nii.gz", scan)
    assert again() == ["b.nii.gz"]
    (out / "a.json").unlink()  # the names of its labels
    assert again() == ["a.nii.gz"]
    stamp = out / "a.nii.gz.stamp.json"
    stamp.write_text("{damaged")
    assert again() == ["a.nii.gz"]
    stamp.unlink()
    stamp.mkdir()
    with pytest.raises(InputError, match=f"{stamp}: .* a folder"):
        again()
    assert segmented == []


def test_a_scan_is_read_once(run, scan, tmp_path, segmented, monkeypatch):
    """Hashed and decoded from one reading, whether it is done before or not."""
    source = put(tmp_path / "in", "a.nii.gz", scan)
    opened = []

    def count(path, *others, **more):
        opened.append(str(path))
        return real(path, *others, **more)

    real = open
    monkeypatch.setattr("builtins.open", count)
    monkeypatch.setattr("io.open", count)
    for readings in (1, 2):
        predict_files([source], tmp_path / "out", run)
        assert opened.count(str(source)) == readings
    assert segmented == ["a.nii.gz"]


def test_asking_for_probabilities_later_makes_them(run, scan, tmp_path):
    put(tmp_path / "in", "a.nii.gz", scan)
    out = tmp_path / "out"
    predict_files([tmp_path / "in"], out, run)
    predict_files([tmp_path / "in"], out, run, Predict(probabilities=True))
    kept = out / "probabilities" / "a.nii.gz"
    assert kept.is_file()
    kept.unlink()
    predict_files([tmp_path / "in"], out, run, Predict(probabilities=True))
    assert kept.is_file()


def test_retrained_weights_make_everything_again(
    run, scan, tmp_path, segmented
):
    put(tmp_path / "in", "a.nii.gz", scan)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "student.weights.h5").write_bytes(
        (run.run_dir / "teacher.weights.h5").read_bytes()
    )
    other = dataclasses.replace(run, run_dir=copy)
    predict_files([tmp_path / "in"], tmp_path / "out", run)
    predict_files([tmp_path / "in"], tmp_path / "out", other)
    assert segmented == ["a.nii.gz", "a.nii.gz"]


def test_other_code_from_outside_makes_everything_again(run, monkeypatch):
    """Weights do not tell what a network of one's own does with them."""
    keys = []
    for code in (None, {"module_sha256": "0"}, {"module_sha256": "1"}):
        monkeypatch.setattr(jobs, "describe_code", lambda name, code=code: code)
        keys.append(jobs.network_key(run, run.experiment.predict))
    assert "code_from_outside" not in keys[0]
    assert keys[0] != keys[1] != keys[2]


def test_bad_scans_are_all_named_and_the_good_ones_written(
    run, scan, tmp_path, segmented
):
    put(tmp_path / "in", "good.nii.gz", scan)
    air = Volume(np.full_like(scan.array, -1000), scan.affine)
    put(tmp_path / "in", "air.nii.gz", air)
    (tmp_path / "in" / "text.nii.gz").write_text("not an image")
    with pytest.raises(InputError) as caught:
        predict_files([tmp_path / "in"], tmp_path / "out", run)
    assert len(caught.value.faults) == 2
    assert "air.nii.gz: not segmented" in caught.value.faults[0]
    assert "text.nii.gz" in caught.value.faults[1]
    assert (tmp_path / "out" / "good.nii.gz").is_file()
    assert not (tmp_path / "out" / "air.nii.gz").exists()
    assert "text.nii.gz" not in segmented


def test_wrong_paths_are_all_named_before_anything_is_done(
    run, scan, tmp_path, segmented
):
    good = put(tmp_path / "in", "a.nii.gz", scan)
    same = put(tmp_path / "other", "a.nii", scan)
    empty = tmp_path / "empty"
    empty.mkdir()
    table = tmp_path / "table.csv"
    table.write_text("a,b")
    inputs = [good, same, empty, table, tmp_path / "absent.nii.gz"]
    with pytest.raises(InputError) as caught:
        predict_files(inputs, tmp_path / "out", run)
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    for words in ("both would be written", "found none", "table.csv", "absent"):
        assert words in text
    assert segmented == []
    with pytest.raises(InputError, match="expected scan files or folders"):
        predict_files([], tmp_path / "out", run)


def test_a_scan_is_never_replaced_by_its_labels(run, scan, tmp_path):
    source = put(tmp_path / "in", "a.nii.gz", scan)
    with pytest.raises(InputError, match="would replace it"):
        predict_files([source], tmp_path / "in", run)


@pytest.fixture
def cases(run, scan):
    """Two cases of the declared database, both put into the test split."""
    root = run.run_dir.parent / "cases"
    for case in ("c1", "c2"):
        put_case = root / case
        put_case.mkdir(parents=True, exist_ok=True)
        volumes.write_volume(put_case / "ct.nii.gz", scan)
        labels = np.zeros(scan.shape, np.uint8)
        labels[10, 10, 8:11] = [1, 2, 3]
        volumes.write_volume(
            put_case / "labels.nii.gz", Volume(labels, scan.affine)
        )
    splits = run.experiment.build.splits.model_copy(
        update={"test_share": 1.0, "validation_share": 0.0}
    )
    build = run.experiment.build.model_copy(update={"splits": splits})
    return run.experiment.model_copy(update={"build": build})


def test_a_split_goes_into_a_folder_per_database(cases, run, scan, tmp_path):
    written = predict_split(cases, "test", None, tmp_path)
    assert written == [
        tmp_path / "cases" / "c1.nii.gz",
        tmp_path / "cases" / "c2.nii.gz",
    ]
    found = volumes.read_labels(written[1]).array
    np.testing.assert_array_equal(found, segment(run, scan)[0])


def test_unknown_split_or_database_is_named(cases, tmp_path):
    with pytest.raises(InputError, match="Did you mean 'test'"):
        predict_split(cases, "tests", None, tmp_path)
    with pytest.raises(InputError, match="Did you mean 'cases'"):
        predict_split(cases, "test", ["case"], tmp_path)
    with pytest.raises(InputError, match="split 'train': no case"):
        predict_split(cases, "train", ["cases"], tmp_path)


def test_hidden_files_are_nobodys_scans(tmp_path, scan):
    path = put(tmp_path, "x.nii.gz", scan)
    (tmp_path / "._x.nii.gz").write_bytes(bytes([0, 5, 22, 7]))
    assert find_input_files([tmp_path]) == [path]


def test_images_that_are_not_read_are_said(tmp_path, scan, caplog):
    (tmp_path / "b.mgz").write_bytes(b"?")
    with pytest.raises(InputError, match=r"b\.mgz"):
        find_input_files([tmp_path])
    path = put(tmp_path, "x.nii.gz", scan)
    assert find_input_files([tmp_path]) == [path]
    assert "b.mgz" in caplog.text


def test_a_scan_does_not_vanish_from_a_folder(tmp_path, scan):
    put(tmp_path, "x.nii.gz", scan)
    (tmp_path / "y.nii.gz").symlink_to("/nowhere/key")
    (tmp_path / "z.nii.gz").mkdir()
    with pytest.raises(InputError) as caught:
        find_input_files([tmp_path])
    link, folder = caught.value.faults
    assert "y.nii.gz" in link
    assert "leads nowhere" in link
    assert "z.nii.gz" in folder
    assert "a folder" in folder


def test_forms_of_the_scan_reach_the_outputs(run, scan, tmp_path):
    """ITK, which follows the qform, sees scan and label map in one place."""
    mirrored = np.diag([-1.0, 1, 1, 1]) @ scan.affine
    mirrored[:3, 3] += [30, 0, 0]
    image = nibabel.Nifti1Image(scan.array, scan.affine)
    image.set_sform(scan.affine, 2)
    image.set_qform(mirrored, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz.*predict\.affine"):
        predict_files([tmp_path / "a.nii.gz"], tmp_path / "out", run)
    options = Predict(affine="sform", probabilities=True)
    out = tmp_path / "out"
    [written] = predict_files([tmp_path / "a.nii.gz"], out, run, options)
    for path in (written, out / "probabilities" / "a.nii.gz"):
        header = nibabel.load(path).header
        assert (header["sform_code"], header["qform_code"]) == (2, 1)
        np.testing.assert_allclose(header.get_qform(), mirrored, atol=1e-4)
        np.testing.assert_allclose(header.get_sform(), scan.affine, atol=1e-4)
    expected, _ = segment(run, scan)
    np.testing.assert_array_equal(nibabel.load(written).dataobj, expected)


def test_a_changed_qform_is_another_scan(run, scan, tmp_path, segmented):
    """It goes into the output, so a finished label map is not kept."""
    for code in (1, 3):
        image = nibabel.Nifti1Image(scan.array, scan.affine)
        image.set_qform(scan.affine, code)
        nibabel.save(image, tmp_path / "a.nii.gz")
        predict_files([tmp_path / "a.nii.gz"], tmp_path / "out", run)
    assert segmented == ["a.nii.gz", "a.nii.gz"]


def test_what_is_wrong_with_a_scan_is_said_once(
    run, scan, segmented, tmp_path, caplog
):
    put(tmp_path / "in", "a.nii.gz", scan)
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"no scan")
    with pytest.raises(InputError, match="b.nii.gz") as caught:
        predict_files([tmp_path / "in"], tmp_path / "out", run)
    assert segmented == ["a.nii.gz"]
    assert str(caught.value) not in caplog.text
    assert "b.nii.gz: left out" in caplog.text
