"""DeepMedic, whose output is smaller than its input, through every stage."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from command_line import verb
from shrunken import CONFIG, overrides

pytestmark = pytest.mark.slow
# All layers and the full context of 40 voxels, 2 and 3 channels; windows of
# 13 voxels, a multiple of neither 3 nor 5.
CHANGES = [
    "network={name: deepmedic, widths: [2, 2, 2, 2, 3, 3, 3, 3],"
    " fc_widths: [3, 9], dropout: [0.5, 0.5]}",
    "fit.patch_shape=[13, 13, 13]",
    "predict.window_shape=[13, 13, 13]",
    "predict.overlap=0.25",
]


def _statistics(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the moving statistics, and all other weights, of a network."""
    moving, others = [], []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            # gamma, beta, mean, variance in the order they were made
            normalises = "batch_normalization" in name
            is_moving = normalises and name.rsplit("/", 1)[1] in "23"
            (moving if is_moving else others).append(item[()].ravel())

    with h5py.File(path) as file:
        file.visititems(visit)
    return np.concatenate(moving), np.concatenate(others)


def test_fit_validate_predict_and_export(workspace: Path) -> None:
    run_dir = workspace / "deepmedic"
    verb("fit", "--config", CONFIG, "--strategy", "none",
           "--run_dir", run_dir, *overrides(workspace), *CHANGES)  # fmt: skip
    history = json.loads((run_dir / "validation.json").read_text("utf-8"))
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert history[-1]["teacher"]["dice"]

    student, learnt = _statistics(run_dir / "student.weights.h5")
    teacher, averaged = _statistics(run_dir / "teacher.weights.h5")
    assert len(student) == 2 * (3 * (4 * 2 + 3 * 3) + 9 + 3 + 9)
    assert not np.isin(student, [0.0, 1.0]).any()
    np.testing.assert_array_equal(student, teacher)
    assert np.any(learnt != averaged)

    predictions = workspace / "deepmedic_predictions"
    verb("predict", "--run_dir", run_dir, "--split", "test",
           "--predictions_dir", predictions)  # fmt: skip
    path = predictions / "phantom_supine" / "supine_04.nii.gz"
    scan = next((workspace / "phantom").rglob("*supine_04*/ct.nii.gz"))
    assert nibabel.load(path).shape == nibabel.load(scan).shape

    # The export itself compares its labels and logits with predict's.
    verb("export", "--run_dir", run_dir,
           "--export_dir", workspace / "deepmedic_export")  # fmt: skip
    about = workspace / "deepmedic_export" / "assets" / "labels.json"
    described = json.loads(about.read_text("utf-8"))
    assert described["context_voxels"] == [40, 40, 40]
    assert described["network"]["name"] == "deepmedic"
