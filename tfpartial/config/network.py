"""What the `network:` section declares: one model per network, by its name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfpartial.config.base import Declared

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Unet3d(Declared):
    """`unet3d`: a residual 3D U-Net and its sizes."""

    name: Literal["unet3d"] = "unet3d"
    filters: list[Count] = Field([16, 32, 64, 128], min_length=2)
    blocks_per_level: int = Field(1, ge=1)
    normalization: Literal["group", "instance", "batch"] = "group"
    dropout: list[Rate] = Field(
        default_factory=list,
        description="rates of the last hidden stages (levels of the encoder, "
        "bottleneck, levels of the decoder), the last one before the logits: "
        "[0.5, 0.5] is the last two; 5 rates of the 7 stages of 4 levels are "
        "all but the first two",
    )
