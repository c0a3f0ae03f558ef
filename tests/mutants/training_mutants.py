"""Trap 3: the Mean Teacher is configured, but not what is trained.

Every mutant takes pytest's `monkeypatch` and changes the real code by the one
mistake in its docstring; tests/traps shows that a check notices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tensorflow as tf

from tfpartial.losses import Term, consistency_term
from tfpartial.losses.term import Weight
from tfpartial.training import fit, terms
from tfpartial.training.mean_teacher import MeanTeacher


class _HardCodedDecay(MeanTeacher):
    """Takes the decay of the config and uses a number of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"ema_decay": 0.99}))


def consistency_never_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consistency term is logged, but not part of the cost."""
    monkeypatch.setattr(
        terms, "consistency_term", lambda _: consistency_term(0.0)
    )


def consistency_without_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost shows the consistency term, but it moves no weight."""

    def without_gradient(weight: Weight) -> Term:
        real = consistency_term(weight)
        return replace(
            real,
            fn=lambda batch, student, teacher: real.fn(
                batch, tf.stop_gradient(student), teacher
            ),
        )

    monkeypatch.setattr(terms, "consistency_term", without_gradient)


def consistency_weight_hard_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of the config is read by nobody."""
    monkeypatch.setattr(terms, "ramp_weight", lambda *_: 1.0)


def decay_hard_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decay of the config is read by nobody."""
    monkeypatch.setattr(fit, "MeanTeacher", _HardCodedDecay)
