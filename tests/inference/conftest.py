"""A tiny run folder written as training writes it, and scans for it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from tfpartial.labels import Label, LabelSpace
from tfpartial.models import build_network
from tfpartial.runs.loaded_run import LoadedRun, load_run
from tfpartial.runs.weights import write_weights
from tfpartial.scans import Volume

PATCH = (16, 16, 16)
SPACING_MM = (4.0, 4.0, 4.0)
SIZES = {"filters": [4, 8], "normalization": "group", "dropout": [0.5]}


def make_run(folder: Path, **sections: dict) -> LoadedRun:
    """Write a run with a student and a teacher that know two organs."""
    config = {
        "label_space": [
            {"name": "bone", "tg263": "Bone_Pelvic"},
            {"name": "left", "mirror": "right"},
            {"name": "right", "mirror": "left"},
        ],
        "databases": [
            {
                "name": "cases",
                "layout": "label_map_folder",
                "path": str(folder / "cases"),
                "values": {"1": "bone", "2": "left", "3": "right"},
                "licence": "CC0",
                "citation": "none",
            }
        ],
        "records_dir": str(folder / "records"),
        "run_dir": str(folder / "run"),
        "preprocess": {"spacing_mm": list(SPACING_MM)},
        "network": SIZES,
        "fit": {"patch_shape": list(PATCH)},
        **sections,
    }
    run_dir = folder / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    student = small_network("student")
    learn_intensities(student)
    write_weights(student, run_dir, "student")
    teacher = small_network("teacher")
    teacher.set_weights([w * 0.9 for w in student.get_weights()])
    write_weights(teacher, run_dir, "teacher")
    return load_run(run_dir)


def small_network(name: str) -> keras.Model:
    return build_network(
        "unet3d", num_labels=4, seed=1, model_name=name, **SIZES
    )


def learn_intensities(network: keras.Model, steps: int = 60) -> None:
    """Teach bright = bone, dark blob = left or right by the side it is on."""
    draw = np.random.default_rng(0)
    network.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for _ in range(steps):
        coarse = draw.normal(0, 2.5, (2, 4, 4, 4))
        image = coarse.repeat(4, 1).repeat(4, 2).repeat(4, 3)
        target = np.select(
            [image > 1.2, image < -3.0, image < -1.5, image < -0.5],
            [1, 0, 2, 3],
        )
        noisy = image + draw.normal(0, 0.1, image.shape)
        network.train_on_batch(noisy[..., None].astype("f4"), target)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def space() -> LabelSpace:
    return LabelSpace(
        (
            Label("bone"),
            Label("left", None, "right"),
            Label("right", None, "left"),
        )
    )


@pytest.fixture
def scan() -> Volume:
    return body_scan()


def body_scan(
    shape: tuple[int, int, int] = (30, 22, 25),
    spacing: tuple[float, float, float] = (3.0, 4.0, 3.5),
) -> Volume:
    """Return an RAS scan: an ellipsoid of tissue with three organs in it.

    The spacing is exact in float32, so that a NIfTI header keeps it.
    """
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    hu = np.where(x**2 + y**2 + z**2 < 0.8, 30.0, -1000.0)
    hu[(x - 0.4) ** 2 + y**2 + z**2 < 0.06] = 180.0
    hu[(x + 0.4) ** 2 + y**2 + z**2 < 0.08] = -120.0
    hu[x**2 + (y - 0.5) ** 2 + z**2 < 0.05] = -60.0
    hu += np.random.default_rng(3).normal(0, 8, shape)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-40.0, -50.0, 300.0)
    return Volume(np.rint(hu).astype(np.int16), affine)
