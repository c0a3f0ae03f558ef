"""What a declared run minimises: one line per term of the cost.

In: the config, the student. Out: the `Term`s of `MeanTeacher`, in the order in
which they are added.
"""

from __future__ import annotations

from functools import partial

import keras

from tfpartial.config import Fit
from tfpartial.losses import (
    Term,
    consistency_term,
    soft_dice_term,
    supervised_term,
    weight_penalty_term,
)
from tfpartial.training.schedules import consistency_weight
from tfpartial.types import Tensor


def terms_of(fit: Fit, student: keras.Model) -> list[Term]:
    """Return the terms of Eq. (3) that a config declares.

    Formula:
        J = J_ace + d * J_dice + w(t) * J_con + R

    Not in the paper and off by default: J_dice and R; a term of weight 0 is
    not computed.

    Args:
        fit: `soft_dice` is d; `l1` and `l2` make R; the others make w(t).
        student: whose convolution kernels R is of.
    """
    terms = [supervised_term()]
    if fit.soft_dice:
        terms.append(soft_dice_term(fit.soft_dice))
    if fit.teacher:
        terms.append(consistency_term(partial(ramp_weight, fit)))
    if fit.l1 or fit.l2:
        terms.append(weight_penalty_term(student, fit.l1, fit.l2))
    return terms


def ramp_weight(fit: Fit, completed_steps: Tensor) -> Tensor:
    """Return w(t) of the consistency term: constant within an epoch."""
    return consistency_weight(
        completed_steps // fit.steps_per_epoch,
        fit.epochs,
        fit.consistency.weight,
        fit.consistency.ramp_start,
        fit.consistency.ramp_end,
    )
