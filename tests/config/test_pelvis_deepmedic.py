"""configs/pelvis_deepmedic.yaml is the published protocol, number by number.

The numbers are those of DeepMedic v0.8.4's shipped `train/trainConfig.cfg` and
`model/modelConfig_wide1.cfg`, and of arXiv 2107.05938, section 3.
"""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import pytest

from tfpartial.config import Experiment, load_experiment
from tfpartial.config.optimizer import NesterovRMSprop

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "configs" / "pelvis_deepmedic.yaml"
PUBLISHED: dict[str, object] = {
    # preparation of scans
    "preprocess.spacing_mm": (2.0, 2.0, 2.0),
    "preprocess.hu_window": (-200.0, 200.0),
    # 1000 segments per subepoch from 50 cases: 20 each
    "sampling.weights": {"d1": 20, "d2": 30},
    "sampling.label_share": 1.0,
    "sampling.balance": "values",
    # {'hist_dist': shift N(0, .05), scale N(1, .01)}, reflect (0, 0, 0)
    "augment.intensity_shift_sd": 0.05,
    "augment.intensity_scale_sd": 0.01,
    "augment.noise_sd": 0,
    "augment.rotation_degrees": 0,
    "augment.scale_range": 0,
    "augment.mirror_probability": 0,
    "network.name": "deepmedic",
    "network.preset": "wide",
    # dropoutRatesFc = [0, .5, .5]: the two last hidden layers
    "network.dropout": [0.5, 0.5],
    # 35 epochs x 20 subepochs x 1000 segments / batch 10
    "fit.epochs": 35,
    "fit.steps_per_epoch": 20 * 1000 // 10,
    "fit.global_batch_size": 10,
    # segmentsDimTrain 37^3, less 2 x 8
    "fit.patch_shape": (37 - 16,) * 3,
    "fit.precision": "float32",
    # w = clip((e - 3) / 10, 0, 1)
    "fit.consistency.weight": 1,
    "fit.consistency.ramp_start": pytest.approx(3 / 35),
    "fit.consistency.ramp_end": pytest.approx(13 / 35),
    "fit.consistency.ema_decay": 0.99,
    "fit.optimizer.learning_rate": 1e-3,
    "fit.optimizer.schedule": "halvings",
    # predef [17, 22, 27, 30, 33]: seen one epoch later
    "fit.optimizer.halve_at_epochs": [18, 23, 28, 31, 34],
    "fit.optimizer.warmup_steps": 0,
    "fit.optimizer.rho": 0.9,
    "fit.optimizer.momentum": 0.6,
    "fit.optimizer.epsilon": 1e-4,
    "fit.optimizer.clip_norm": None,
    "fit.l1": 1e-6,
    "fit.l2": 1e-4,
    "fit.validation.every_epochs": 5,
    "fit.keep_checkpoints": 5,
    # segmentsDimInference 45^3, less 2 x 8; tiles do not overlap
    "predict.window_shape": (45 - 16,) * 3,
    "predict.overlap": 0,
    "predict.windows_per_batch": 10,
    "predict.mirror": False,
}


@pytest.fixture
def protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Experiment:
    monkeypatch.setenv("TFPARTIAL_PELVIS", str(tmp_path))
    return load_experiment(CONFIG)


@pytest.mark.parametrize("field", PUBLISHED)
def test_the_config_is_the_published_number(
    protocol: Experiment, field: str
) -> None:
    found = reduce(getattr, field.split("."), protocol)
    assert found == PUBLISHED[field]


def test_the_run_has_the_published_length(protocol: Experiment) -> None:
    steps = protocol.fit.epochs * protocol.fit.steps_per_epoch
    assert steps == 70_000
    assert steps * protocol.fit.global_batch_size == 700_000
    assert isinstance(protocol.fit.optimizer, NesterovRMSprop)


def test_the_databases_annotate_what_the_paper_says(
    protocol: Experiment, tmp_path: Path
) -> None:
    space = {entry.name for entry in protocol.label_space}
    d1, d2 = protocol.databases
    assert len(space) == 6
    assert set(d1.values.values()) == space
    assert set(d2.values.values()) == {"bladder", "rectum", "uterus"}
    assert (d1.patient_position, d2.patient_position) == ("supine", "prone")
    assert (d1.path, d2.path) == (f"{tmp_path}/d1", f"{tmp_path}/d2")
    assert protocol.build.splits.file == f"{tmp_path}/splits.json"


def test_the_hours_of_the_header_are_its_arithmetic() -> None:
    header = CONFIG.read_text(encoding="utf-8").split("label_space:")[0]
    words = " ".join(header.replace("#", " ").split())
    work = [float(n) for n in re.findall(r"([\d.]+) PFLOP", words)]
    hours = [float(n) for n in re.findall(r"([\d.]+) and ([\d.]+) h", words)[0]]
    # 238.0 GFLOP forward and backward, 79.36 for the teacher, 700,000 patches.
    assert work == [
        pytest.approx(238.0e9 * 7e5 / 1e15, abs=0.05),
        pytest.approx((238.0e9 + 79.36e9) * 7e5 / 1e15, abs=0.1),
    ]
    assert hours == [round(w * 1e15 / 10e12 / 3600, 1) for w in work]


def test_the_page_names_every_field_of_the_protocol() -> None:
    page = REPOSITORY / "docs" / "deepmedic_protocol.md"
    text = page.read_text(encoding="utf-8")
    missing = [field for field in PUBLISHED if f"`{field}" not in text]
    assert missing == []
