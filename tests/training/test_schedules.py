"""The ramp of the consistency weight and the learning rate."""

import numpy as np
import pytest

from tfpartial.config.optimizer import Optimizer
from tfpartial.training.schedules import consistency_weight, learning_rate


def test_ramp_is_the_papers() -> None:
    for epoch in range(36):
        expected = min(max((epoch - 3) / 10, 0.0), 1.0)
        assert float(consistency_weight(epoch, 35)) == pytest.approx(
            expected, abs=2e-6
        )


@pytest.mark.parametrize("epochs", [1, 2, 7, 12, 35, 100])
def test_ramp_starts_at_zero_and_keeps_its_shares(epochs: int) -> None:
    weights = [float(consistency_weight(e, epochs)) for e in range(epochs + 1)]
    assert weights[0] == 0.0
    assert weights[-1] == 1.0
    assert np.all(np.diff(weights) >= 0)
    after = [w for e, w in enumerate(weights) if e / epochs >= 13 / 35]
    assert after == [1.0] * len(after)


def test_weight_scales_the_ramp() -> None:
    assert float(consistency_weight(8, 35, weight=0.2)) == pytest.approx(0.1)


def test_cosine_with_warmup_rises_then_falls() -> None:
    options = Optimizer(learning_rate=0.01, schedule="cosine", warmup_steps=10)
    rate = learning_rate(options, steps=110, steps_per_epoch=10)
    assert float(rate(0)) == 0.0
    assert float(rate(10)) == pytest.approx(0.01)
    assert float(rate(60)) == pytest.approx(0.01 * (0.99 * 0.5 + 0.01))
    assert float(rate(110)) == pytest.approx(0.01 * 0.01)


def test_constant_is_constant_after_warmup() -> None:
    options = Optimizer(learning_rate=0.5, schedule="constant", warmup_steps=4)
    rate = learning_rate(options, steps=20, steps_per_epoch=10)
    assert [float(rate(s)) for s in (0, 2, 4, 19)] == [0.0, 0.25, 0.5, 0.5]


def test_polynomial_is_one_minus_share_to_the_0_9() -> None:
    options = Optimizer(learning_rate=1.0, schedule="polynomial")
    rate = learning_rate(options, steps=100, steps_per_epoch=10)
    assert float(rate(50)) == pytest.approx(0.5**0.9)


def test_halvings_are_the_rates_of_deepmedic() -> None:
    """35 epochs of 2,000 steps; the rates that v0.8.4 was seen to use."""
    options = Optimizer(
        learning_rate=1e-3,
        schedule="halvings",
        halve_at_epochs=[18, 23, 28, 31, 34],
    )
    rate = learning_rate(options, steps=70_000, steps_per_epoch=2000)
    table = (
        [1e-3] * 18 + [5e-4] * 5 + [2.5e-4] * 5 + [1.25e-4] * 3 + [6.25e-5] * 3
    ) + [3.125e-5]
    for epoch, expected in enumerate(table):
        # The first and the last step of each epoch.
        for step in (2000 * epoch, 2000 * epoch + 1999):
            assert float(rate(step)) == pytest.approx(expected, rel=1e-6)
    assert len(table) == 35


def test_halvings_stay_at_their_epochs_behind_a_warmup() -> None:
    options = Optimizer(
        learning_rate=1.0,
        schedule="halvings",
        halve_at_epochs=[2],
        warmup_steps=5,
    )
    rate = learning_rate(options, steps=40, steps_per_epoch=10)
    found = [float(rate(step)) for step in (0, 5, 19, 20, 39)]
    assert found == [0.0, 1.0, 1.0, 0.5, 0.5]
