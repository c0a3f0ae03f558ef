"""Types of sizes, for the signatures of builders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Counts = Annotated[Sequence[Count], Field(min_length=1)]
# Layers are counted from 1, which has none before it whose input it could add.
Layers = Sequence[Annotated[int, Field(ge=2)]]
Rate = Annotated[float, Field(ge=0, lt=1)]
Normalization = Literal["group", "instance", "batch"]


def rates_of_stages(dropout: Sequence[float], stages: int) -> list[float]:
    """Return one dropout rate per hidden stage, in forward order.

    Formula:
        (0, ..., 0, dropout[0], ..., dropout[-1])

    Rates belong to the *last* stages, so that [0.5, 0.5] is the last two
    before the logits of any network, and `stages - 2` rates are all but the
    first two.
    """
    return [0.0] * (stages - len(dropout)) + [float(rate) for rate in dropout]
