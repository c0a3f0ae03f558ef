"""A run used from Python segments as `predict` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfpartial import scans as volumes
from tfpartial.errors import InputError
from tfpartial.inference import trained_run as module
from tfpartial.inference.predict import predict_files
from tfpartial.inference.trained_run import TrainedRun, load_run
from tfpartial.runs.loaded_run import LoadedRun
from tfpartial.scans import Volume


@pytest.fixture
def trained(run: LoadedRun) -> TrainedRun:
    return load_run(run.run_dir)


def test_a_path_and_an_array_give_what_predict_writes(
    run: LoadedRun, trained: TrainedRun, scan: Volume, tmp_path: Path
) -> None:
    path = tmp_path / "ct.nii.gz"
    volumes.write_volume(path, scan)
    [written] = predict_files([path], tmp_path / "out", run)
    expected = volumes.read_labels(written)
    assert len(np.unique(expected.array)) > 1
    for given in ((path,), (str(path),), (scan.array, scan.affine)):
        found = trained.segment(*given)
        assert found.array.dtype == np.uint8
        np.testing.assert_array_equal(found.array, expected.array)
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-5)
    turned = trained.segment(path, prone_turn=True)
    assert (turned.array != expected.array).any()


def test_weights_are_read_once_for_each_network(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(
        module, "load_network", lambda run, which: read.append(which)
    )
    for _ in range(2):
        trained.network()
        trained.network("teacher")
    assert read == ["student", "teacher"]


def test_what_is_no_scan_is_refused(trained: TrainedRun) -> None:
    with pytest.raises(ValueError, match=r"\(I, J, K\)"):
        trained.segment(np.zeros((3, 3)), np.eye(4))
    with pytest.raises(InputError, match=r"absent\.nii"):
        trained.segment("absent.nii")
