"""A network from outside the package: trained, resumed, used, exported."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from shrunken import CONFIG, REPOSITORY, overrides, script

pytestmark = pytest.mark.slow
# Makes its variables when it is first called, names no layer, knows no seed,
# and has Keras' own dropout.
MODULE = '''
import keras


class Small(keras.Model):
    """Two convolutions."""

    def __init__(self, num_labels, width, rate):
        super().__init__()
        self.first = keras.layers.Conv3D(width, 3, padding="same")
        self.normalise = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(rate)
        self.last = keras.layers.Conv3D(num_labels, 1, dtype="float32")

    def call(self, image, training=False):
        x = keras.ops.relu(self.normalise(self.first(image), training=training))
        return self.last(self.drop(x, training=training))


def build(num_labels: int, width: int = 4, rate: float = 0.25):
    return Small(num_labels, width, rate)


def build_too_few(num_labels: int):
    return Small(num_labels - 1, 2, 0.0)
'''


@pytest.fixture
def python_path(tmp_path: Path) -> str:
    (tmp_path / "my_networks").mkdir()
    (tmp_path / "my_networks" / "small.py").write_text(MODULE)
    return f"{tmp_path}{os.pathsep}{REPOSITORY}"


def weights(run_dir: Path, which: str) -> dict[str, np.ndarray]:
    found = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(run_dir / f"{which}.weights.h5") as file:
        file.visititems(visit)
    return found


def test_fit_resume_predict_and_export(
    workspace: Path, python_path: str
) -> None:
    run_dir = workspace / "foreign"
    settings = [o for o in overrides(workspace) if not o.startswith("network")]
    fit = [
        "fit", "--config", CONFIG, "--run_dir", run_dir, *settings,
        "fit.keep_checkpoints=3",
        "network={name: my_networks.small:build, width: 5}",
    ]  # fmt: skip
    refused = script(*fit, expect=2)
    assert "my_networks.small" in refused
    assert "--trust_code" in refused
    assert not run_dir.exists()

    script(*fit, "--trust_code", PYTHONPATH=python_path)
    about = json.loads((run_dir / "run.json").read_text())
    assert about["code_from_outside"]["builder"] == "my_networks.small:build"
    first = {which: weights(run_dir, which) for which in ("student", "teacher")}
    assert {v.shape for v in first["student"].values()} >= {(3, 3, 3, 1, 5)}

    for epoch in (2, 3):
        shutil.rmtree(run_dir / "checkpoints" / f"epoch-0000{epoch}")
    printed = script(*fit, "--trust_code", PYTHONPATH=python_path)
    assert "resuming after step 2" in printed
    for which, values in first.items():
        again = weights(run_dir, which)
        assert again.keys() == values.keys()
        for name, array in values.items():
            np.testing.assert_array_equal(again[name], array)

    predictions = workspace / "foreign_predictions"
    use = ["predict", "--run_dir", run_dir, "--split", "test",
           "--predictions_dir", predictions]  # fmt: skip
    assert "--trust_code" in script(*use, expect=2)
    script(*use, "--trust_code", PYTHONPATH=python_path)
    path = predictions / "phantom_supine" / "supine_04.nii.gz"
    assert np.asarray(nibabel.load(path).dataobj).size

    # The export compares its labels with those of predict.
    script("export", "--run_dir", run_dir, "--trust_code",
           "--export_dir", workspace / "foreign_export",
           PYTHONPATH=python_path)  # fmt: skip
    assets = workspace / "foreign_export" / "assets"
    described = json.loads((assets / "labels.json").read_text())
    assert described["network"]["name"] == "my_networks.small:build"


def test_logits_of_another_shape_are_refused_before_training(
    workspace: Path, python_path: str
) -> None:
    settings = [o for o in overrides(workspace) if not o.startswith("network")]
    printed = script(
        "fit", "--config", CONFIG, "--run_dir", workspace / "too_few",
        "--trust_code", *settings,
        "network={name: my_networks.small:build_too_few}",
        expect=2, PYTHONPATH=python_path,
    )  # fmt: skip
    assert "my_networks.small:build_too_few" in printed
    assert "Traceback" not in printed
    assert not (workspace / "too_few").exists()
