"""Traps 1 and 2 of tests/traps: the check passes, its mutant fails it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from keras import ops
from mutants import loss_mutants

from tfpartial.labels import candidate_table
from tfpartial.losses import candidate_cross_entropy


def check_merging_is_marginalising(loss: Callable) -> None:
    """Logits (0, -8, -8, -8, 5), labels 1-3 open: p(background) = .0067."""
    logits = np.array([0.0, -8.0, -8.0, -8.0, 5.0], np.float32)
    odds = [math.exp(z) for z in logits]
    marginal = sum(odds[:4]) / sum(odds)
    assert marginal == pytest.approx(0.0067, abs=5e-5)
    annotated = np.array([True, False, False, False, True])
    table = candidate_table(np.eye(5, dtype=bool), annotated)
    value = loss(
        np.zeros((1, 1, 1, 1), np.uint8),
        logits.reshape(1, 1, 1, 1, 5),
        table[np.newaxis],
    )
    value = float(ops.convert_to_numpy(value).item())
    assert math.exp(-value) == pytest.approx(marginal, rel=1e-4)


def check_background_patch_teaches(loss: Callable) -> None:
    """A patch of background of an annotated organ still says "not it"."""
    table = candidate_table(np.eye(3, dtype=bool), np.ones(3, bool))
    # The network calls every voxel the organ: p = (.1, .8, .1).
    logits = np.log(np.array([0.1, 0.8, 0.1], np.float32))
    logits = np.broadcast_to(logits, (1, 2, 2, 2, 3))
    value = loss(np.zeros((1, 2, 2, 2), np.uint8), logits, table[np.newaxis])
    np.testing.assert_allclose(value, -math.log(0.1), rtol=1e-5)


CHECKS = [
    (check_merging_is_marginalising, loss_mutants.sum_of_logits),
    (check_background_patch_teaches, loss_mutants.annotated_from_patch),
]
NAMES = ["trap1_sum_of_logits", "trap2_annotated_from_patch"]


@pytest.mark.parametrize(("check", "mutant"), CHECKS, ids=NAMES)
def test_loss_passes_and_mutant_fails(
    check: Callable, mutant: Callable
) -> None:
    check(candidate_cross_entropy)
    with pytest.raises(AssertionError):
        check(mutant)


def test_sum_of_logits_is_off_by_ten_orders_of_magnitude() -> None:
    logits = np.array([0.0, -8.0, -8.0, -8.0, 5.0], np.float32)
    value = loss_mutants.sum_of_logits(
        np.zeros((1, 1, 1, 1), np.uint8),
        logits.reshape(1, 1, 1, 1, 5),
        np.array([[[1, 1, 1, 1, 0]]], bool),
    )
    value = float(ops.convert_to_numpy(value).item())
    assert math.exp(-value) == pytest.approx(2.5e-13, rel=0.05)
