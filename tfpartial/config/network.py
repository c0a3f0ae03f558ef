"""What the `network:` section declares: one model per network, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tfpartial.config.base import Declared

Count = Annotated[int, Field(ge=1)]
# Layer 1 has no layer before it whose input it could add.
Layer = Annotated[int, Field(ge=2)]
Rate = Annotated[float, Field(ge=0, lt=1)]
# Layers of both presets of DeepMedic; a test holds them against the network.
PRESET_WIDTHS = 8
PRESET_FC_WIDTHS = 2


class Unet3d(Declared):
    """`unet3d`, the default: a residual 3D U-Net and its sizes."""

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

    @property
    def hidden_stages(self) -> int:
        """How many stages a dropout rate may belong to."""
        return 2 * len(self.filters) - 1


class DeepMedic(Declared):
    """`deepmedic`: three pathways of different reach (docs/deepmedic.md)."""

    name: Literal["deepmedic"]
    preset: Literal["wide", "small"] = Field(
        "wide", description="the sizes that are not declared below"
    )
    widths: list[Count] | None = Field(
        None,
        min_length=1,
        description="channels of the 3x3x3 layers of each pathway",
    )
    fc_widths: list[Count] | None = Field(
        None,
        min_length=1,
        description="channels of the layers behind the pathways, without the "
        "last one: the first 3x3x3, the others 1x1x1",
    )
    residual_layers: list[Layer] | None = Field(
        None,
        description="layers of a pathway, counted from 1, that add the input "
        "of the layer before",
    )
    fc_residual_layers: list[Layer] | None = Field(
        None, description="likewise, of the layers behind the pathways"
    )
    dropout: list[Rate] = Field(
        [0.5, 0.5],
        description="rates of the last stages (layers of a pathway, all three "
        "alike, then the layers behind), each at the input of its "
        "convolution: [0.5, 0.5] is the last two; 9 rates of the 11 stages "
        "are all but the first two",
    )

    @property
    def hidden_stages(self) -> int:
        """How many stages a dropout rate may belong to."""
        pathway = len(self.widths) if self.widths else PRESET_WIDTHS
        behind = len(self.fc_widths) if self.fc_widths else PRESET_FC_WIDTHS
        return pathway + behind + 1


def _name_of(section: Any) -> str:
    """Return the name that chooses the model; it may be left out."""
    if isinstance(section, Mapping):
        return str(section.get("name", "unet3d"))
    return str(getattr(section, "name", "unet3d"))


AnyNetwork = Annotated[
    Annotated[Unet3d, Tag("unet3d")] | Annotated[DeepMedic, Tag("deepmedic")],
    Discriminator(_name_of),
]
