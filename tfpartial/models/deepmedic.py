"""`deepmedic`: three pathways of different reach, joined and classified.

In: patches (B, I, J, K, 1) with context. Out: float32 logits of the centre,
(B, I - 80, J - 80, K - 80, L). docs/deepmedic.md: layers, choices, costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras

from tfpartial.errors import InputError
from tfpartial.models.blocks import PatchNetwork
from tfpartial.models.deepmedic_blocks import (
    AddBias,
    AddCentre,
    Blocks,
    MirrorPad,
    SubsampledInput,
    Tensor,
    UpsampleLike,
)
from tfpartial.models.registry import register

# A pathway sees every voxel, every third or every fifth.
FACTORS = (1, 3, 5)
Preset = Literal["wide", "small"]


@dataclass(frozen=True)
class Sizes:
    """How large a DeepMedic is; layers are counted from 1.

    Attributes:
        widths: channels of the 3x3x3 layers of each pathway.
        fc_widths: channels of the layers behind them, without the last one,
            which has one per label; the first is 3x3x3, the others 1x1x1.
        residual_layers: of a pathway, that add the input of the layer before.
        fc_residual_layers: likewise, of the layers behind.
    """

    widths: Sequence[int]
    fc_widths: Sequence[int]
    residual_layers: Sequence[int]
    fc_residual_layers: Sequence[int]


WIDE = Sizes((30, 40, 50, 60, 70, 80, 90, 100), (300, 300), (4, 6, 8), (2,))
# A fifth of the channels, a twenty-fifth of the work: for CPUs.
SMALL = Sizes((6, 8, 10, 12, 14, 16, 18, 20), (60, 60), (4, 6, 8), (2,))
PRESETS: dict[str, Sizes] = {"wide": WIDE, "small": SMALL}


@register("deepmedic")
def build_deepmedic(
    *,
    num_labels: int,
    seed: int,
    model_name: str = "deepmedic",
    preset: Preset = "wide",
    widths: Sequence[int] | None = None,
    fc_widths: Sequence[int] | None = None,
    residual_layers: Sequence[int] | None = None,
    fc_residual_layers: Sequence[int] | None = None,
    dropout: Sequence[float] = (0.5, 0.5),
    channels: int = 1,
) -> keras.Model:
    """Build DeepMedic: "wide" is the published model, to the parameter.

    For P layers per pathway and an output of n voxels from voxel o on, the
    pathway of factor f sees the ceil(n/f) + 2P voxels o - Pf + f i, and the
    widest, f = 5, reaches 5P = 40 voxels beyond the output.

    The hidden stages are the P layers of a pathway (all three alike) and the
    layers behind: 8 + 3. A dropout rate belongs to the *input* of a stage's
    convolution; the rates given belong to the last stages, so that [0.5, 0.5]
    is the published default (the last two), and nine rates are all but the
    first two.

    Args:
        num_labels: L, channels of the logits.
        seed: of the initial weights.
        model_name: Keras name of the model.
        preset: "wide" or "small", the sizes that are not given.
        widths: see `Sizes`.
        fc_widths: likewise.
        residual_layers: likewise.
        fc_residual_layers: likewise.
        dropout: rates of the last stages, the last one before the logits.
        channels: of the image.

    Returns:
        PatchNetwork for any size above twice its `context_voxels`.

    Raises:
        InputError: unknown preset, too many rates, or a shortcut at a layer
            that does not exist.

    Source: Kamnitsas et al., 2017, Medical Image Analysis 36, "wide" of the
    published program v0.8.4. Differs from it in: docs/deepmedic.md.
    """
    given = (widths, fc_widths, residual_layers, fc_residual_layers)
    sizes = _sizes(preset, *given)
    rates = _rates(dropout, sizes)
    deep = len(sizes.widths)
    image = keras.Input((None, None, None, channels), name="image")
    blocks = Blocks(seed)
    found: list[Tensor] = []
    for factor in FACTORS:
        x = SubsampledInput(
            factor, (max(FACTORS) - factor) * deep, name=f"x{factor}_input"
        )(image)
        x = _pathway(blocks, x, sizes, rates[:deep], factor)
        if factor > 1:
            x = UpsampleLike(factor, name=f"x{factor}_up")([x, found[0]])
        found.append(x)
    x = keras.layers.Concatenate(name="join")(found)
    logits = _classifier(blocks, x, sizes, rates[deep:], num_labels)
    network = PatchNetwork(image, logits, name=model_name)
    network.context_voxels = (max(FACTORS) * deep,) * 3
    return network


def _pathway(
    blocks: Blocks,
    x: Tensor,
    sizes: Sizes,
    rates: Sequence[float],
    factor: int,
) -> Tensor:
    """Add the 3x3x3 layers of one pathway; P voxels less at each side."""
    inputs: list[Tensor] = []
    for layer, width in enumerate(sizes.widths, start=1):
        inputs.append(x)
        name = f"x{factor}_layer{layer}"
        if layer == 1:
            x = AddBias(name=f"{name}_bias")(x)
        else:
            x = blocks.activate(x, name)
        # Masks of no two layers of the network may be alike.
        x = blocks.drop(x, rates[layer - 1], 100 * factor + layer, name)
        x = blocks.convolution(x, width, 3, name)
        if layer in sizes.residual_layers:
            x = AddCentre(2, name=f"{name}_add")([x, inputs[-2]])
    return x


def _classifier(
    blocks: Blocks,
    x: Tensor,
    sizes: Sizes,
    rates: Sequence[float],
    num_labels: int,
) -> Tensor:
    """Add the layers behind the pathways; the last one in float32."""
    inputs: list[Tensor] = []
    for layer, width in enumerate([*sizes.fc_widths, num_labels], start=1):
        inputs.append(x)
        name = f"fc{layer}"
        x = blocks.activate(x, name)
        x = blocks.drop(x, rates[layer - 1], layer, name)
        if layer == 1:
            x = MirrorPad(name=f"{name}_pad")(x)
        size = 3 if layer == 1 else 1
        if layer > len(sizes.fc_widths):
            return blocks.convolution(
                x, width, size, name, use_bias=True, dtype="float32"
            )
        x = blocks.convolution(x, width, size, name)
        if layer in sizes.fc_residual_layers:
            x = AddCentre(0, name=f"{name}_add")([x, inputs[-2]])
    return x


def _sizes(preset: str, *given: Sequence[int] | None) -> Sizes:
    """Return the sizes of a preset with what is given in their place."""
    if preset not in PRESETS:
        raise InputError(
            f"network.preset: expected one of {', '.join(PRESETS)}, found "
            f"'{preset}'."
        )
    names = tuple(Sizes.__dataclass_fields__)
    usual = PRESETS[preset]
    chosen = {
        name: tuple(getattr(usual, name) if value is None else value)
        for name, value in zip(names, given, strict=True)
    }
    sizes = Sizes(**chosen)
    faults = [
        f"network.{name}: expected at least one layer of at least 1 channel, "
        f"found {list(chosen[name])}."
        for name in ("widths", "fc_widths")
        if min(chosen[name], default=0) < 1
    ]
    for name, layers in (
        ("residual_layers", sizes.widths),
        ("fc_residual_layers", sizes.fc_widths),
    ):
        # Layer 1 has no layer before it whose input it could add.
        outside = [n for n in chosen[name] if not 2 <= n <= len(layers)]
        if outside:
            faults.append(
                f"network.{name}: expected layers from 2 to {len(layers)}, "
                f"found {outside}. Set network.{name} along with the widths."
            )
    if faults:
        raise InputError(*faults)
    return sizes


def _rates(dropout: Sequence[float], sizes: Sizes) -> list[float]:
    """Return one dropout rate per stage, pathway first."""
    stages = len(sizes.widths) + len(sizes.fc_widths) + 1
    if len(dropout) > stages:
        raise InputError(
            f"network.dropout: expected at most {stages} rates "
            f"({len(sizes.widths)} layers of each pathway + "
            f"{len(sizes.fc_widths) + 1} behind them), found {len(dropout)}; "
            f"remove {len(dropout) - stages}."
        )
    return [0.0] * (stages - len(dropout)) + [float(rate) for rate in dropout]
