"""A run used from Python segments as `predict` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfpartial import scans as volumes
from tfpartial.errors import InputError
from tfpartial.inference import segment as module
from tfpartial.inference.predict import predict_files
from tfpartial.inference.segment import segment, segment_with_probabilities
from tfpartial.runs.loaded_run import LoadedRun, load_network, load_run
from tfpartial.runs.weights import write_weights
from tfpartial.scans import Volume


def test_a_path_and_an_array_give_what_predict_writes(
    run: LoadedRun, scan: Volume, tmp_path: Path
) -> None:
    path = tmp_path / "ct.nii.gz"
    volumes.write_volume(path, scan)
    [written] = predict_files([path], tmp_path / "out", run)
    expected = volumes.read_labels(written)
    assert len(np.unique(expected.array)) > 1
    for given in (path, str(path), (scan.array, scan.affine)):
        found = segment(run, given)
        assert found.array.dtype == np.uint8
        np.testing.assert_array_equal(found.array, expected.array)
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-5)
    turned = segment(run, path, prone_turn=True)
    assert (turned.array != expected.array).any()


def test_probabilities_agree_with_the_labels(
    run: LoadedRun, scan: Volume
) -> None:
    labels, probabilities = segment_with_probabilities(
        run, (scan.array, scan.affine)
    )
    assert probabilities.shape == (*scan.shape, run.space.num_labels)
    sure = probabilities.max(-1) > 0.6
    np.testing.assert_array_equal(
        probabilities.argmax(-1)[sure], labels.array[sure]
    )


def test_weights_are_read_once_and_again_when_they_change(
    run: LoadedRun, scan: Volume, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = (run.run_dir / "config.yaml").read_bytes()
    (tmp_path / "config.yaml").write_bytes(config)
    network = load_network(run)
    write_weights(network, tmp_path, "student")
    copied = load_run(tmp_path)
    read = []

    def count(run, which):
        read.append(which)
        return load_network(run, which)

    monkeypatch.setattr(module, "load_network", count)
    given = (scan.array, scan.affine)
    before = [segment(copied, given).array for _ in range(2)]
    assert read == ["student"]
    np.testing.assert_array_equal(*before)
    network.set_weights([-w for w in network.get_weights()])
    write_weights(network, tmp_path, "student")
    assert (segment(copied, given).array != before[0]).any()


def test_what_is_no_scan_is_refused(run: LoadedRun) -> None:
    with pytest.raises(InputError, match=r"array \(I, J, K\)"):
        segment(run, (np.zeros((3, 3)), np.eye(4)))
    with pytest.raises(InputError, match=r"absent\.nii"):
        segment(run, "absent.nii")
