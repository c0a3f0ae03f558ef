"""`deepmedic` as layers: its pathways, joined, and what stands behind them.

In: sizes and dropout rates, from `deepmedic`. Out: the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpartial.models.blocks import PatchNetwork
from tfpartial.models.deepmedic import Sizes
from tfpartial.models.deepmedic_blocks import (
    AddBias,
    AddCentre,
    Blocks,
    MirrorPad,
    SubsampledInput,
    UpsampleLike,
)
from tfpartial.types import Tensor

# A pathway sees every voxel, every third or every fifth.
FACTORS = (1, 3, 5)


def join_pathways(
    sizes: Sizes,
    rates: Sequence[float],
    num_labels: int,
    seed: int,
    model_name: str,
    *,
    channels: int,
) -> PatchNetwork:
    """Build the model of `deepmedic.build_deepmedic`.

    Args:
        sizes: of all layers.
        rates: of dropout, one per hidden stage, pathway first.
        num_labels: L, channels of the logits.
        seed: of the initial weights.
        model_name: Keras name of the model.
        channels: of the image.
    """
    deep = len(sizes.widths)
    image = keras.Input((None, None, None, channels), name="image")
    blocks = Blocks(seed)
    joined: list[Tensor] = []
    for factor in FACTORS:
        x = SubsampledInput(
            factor, (max(FACTORS) - factor) * deep, name=f"x{factor}_input"
        )(image)
        x = _pathway(blocks, x, sizes, rates[:deep], factor)
        if factor > 1:
            x = UpsampleLike(factor, name=f"x{factor}_up")([x, joined[0]])
        joined.append(x)
    x = keras.layers.Concatenate(name="join")(joined)
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
