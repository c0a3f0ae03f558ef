"""Trap 3: the Mean Teacher is configured, but not what is trained.

Every mutant takes pytest's `monkeypatch` and changes the real code by the one
mistake in its docstring; tests/traps shows that a check notices.
"""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tfpartial.training import fit, mean_teacher
from tfpartial.training.mean_teacher import MeanTeacher


class _NeverAdded(MeanTeacher):
    """Computes and logs the consistency term, and adds 0 times of it."""

    def train_step(self, batch: Any) -> Any:
        declared = self.consistency_weight
        self.consistency_weight = lambda _: 0.0
        total = super().train_step(batch)
        self.consistency_weight = declared
        return total


class _HardCodedDecay(MeanTeacher):
    """Takes the decay of the config and uses a number of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"ema_decay": 0.99}))


def consistency_never_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consistency term is logged, but not part of the cost."""
    monkeypatch.setattr(fit, "MeanTeacher", _NeverAdded)


def consistency_without_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost shows the consistency term, but it moves no weight."""
    real = mean_teacher.consistency
    monkeypatch.setattr(
        mean_teacher,
        "consistency",
        lambda student, teacher: tf.stop_gradient(real(student, teacher)),
    )


def consistency_weight_hard_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of the config is read by nobody."""
    monkeypatch.setattr(fit, "weight_of_step", lambda _: lambda _: 1.0)


def decay_hard_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decay of the config is read by nobody."""
    monkeypatch.setattr(fit, "MeanTeacher", _HardCodedDecay)
