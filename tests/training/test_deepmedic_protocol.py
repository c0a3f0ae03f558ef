"""The published protocol as training sees it: rates, penalty, weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tfpartial.config import Experiment, load_experiment
from tfpartial.losses import convolution_kernels, weight_penalty
from tfpartial.runs.loaded_run import network_of
from tfpartial.training.optimizers import NesterovRMSprop, build_optimizer

CONFIG = Path(__file__).parents[2] / "configs" / "pelvis_deepmedic.yaml"


@pytest.fixture
def protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Experiment:
    monkeypatch.setenv("TFPARTIAL_PELVIS", str(tmp_path))
    return load_experiment(CONFIG)


def test_optimizer_has_the_rates_that_v084_was_seen_to_use(
    protocol: Experiment,
) -> None:
    optimizer = build_optimizer(protocol.fit)
    assert isinstance(optimizer, NesterovRMSprop)
    seen = {0: 1e-3, 17: 1e-3, 18: 5e-4, 22: 5e-4, 23: 2.5e-4, 27: 2.5e-4,
            28: 1.25e-4, 30: 1.25e-4, 31: 6.25e-5, 33: 6.25e-5,
            34: 3.125e-5}  # fmt: skip
    for epoch, rate in seen.items():
        for step in (0, 1999):
            optimizer.iterations.assign(2000 * epoch + step)
            assert float(optimizer.learning_rate) == pytest.approx(rate)


def test_penalty_at_the_start_is_that_of_deepmedic(
    protocol: Experiment,
) -> None:
    """27 kernels, 5,132,730 weights of standard deviation sqrt(2 / fan in).

    For one channel and 7 labels: L2 .433, L1 .106.
    """
    student = network_of(protocol, "student")
    kernels = convolution_kernels(student.trainable_variables)
    weights = sum(math.prod(kernel.shape) for kernel in kernels)
    assert (len(kernels), weights) == (27, 5_132_730)
    assert float(weight_penalty(kernels, 0.0, 1e-4)) == pytest.approx(
        0.433, abs=0.002
    )
    assert float(weight_penalty(kernels, 1e-6, 0.0)) == pytest.approx(
        0.106, abs=0.001
    )
