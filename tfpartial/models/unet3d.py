"""`unet3d`: a residual 3D U-Net whose sizes come from the config.

In: patches (B, I, J, K, 1). Out: float32 logits (B, I, J, K, L).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tfpartial.models.registry import count_stages
from tfpartial.models.sizes import Count, Normalization, Rate, rates_of_stages

if TYPE_CHECKING:
    import keras


def _stages(filters: Sequence[int], **_: Any) -> int:
    return 2 * len(filters) - 1


@count_stages(_stages)
def build_unet3d(
    *,
    num_labels: int,
    seed: int,
    model_name: str = "unet3d",
    filters: Annotated[Sequence[Count], Field(min_length=2)] = (
        16,
        32,
        64,
        128,
    ),
    blocks_per_level: Count = 1,
    normalization: Normalization = "group",
    dropout: Sequence[Rate] = (),
    downsampling: Literal["strided", "max"] = "strided",
    upsampling: Literal["transposed", "nearest"] = "transposed",
) -> keras.Model:
    """Build an encoder and a decoder of residual blocks, joined by skips.

    The hidden stages, in the order of the forward pass, are the levels of the
    encoder (finest first), the bottleneck and the levels of the decoder
    (deepest first): 2 * levels - 1 in all. Dropout follows the last block of a
    stage. Its rates belong to the *last* stages, so that [0.5, 0.5] is the
    last two hidden stages before the logits of any network, and 2 rates less
    than there are stages are all but the first two.

    Args:
        num_labels: L, channels of the logits.
        seed: of the initial weights.
        model_name: Keras name of the model.
        filters: channels per level, finest first; 2 levels or more.
        blocks_per_level: residual blocks (two convolutions each).
        normalization: "group", "instance" or "batch".
        dropout: rates of the last stages, the last one before the logits.
        downsampling: "strided" convolution or "max" pool.
        upsampling: "transposed" convolution or "nearest".

    Returns:
        PatchNetwork for any input size that is a multiple of
        2**(levels - 1), its `divisor`.
    """
    # Not above: a config reads the signature without waiting for Keras.
    import keras

    from tfpartial.models.blocks import Parts, PatchNetwork

    levels = len(filters)
    rates = rates_of_stages(dropout, _stages(filters))
    parts = Parts(normalization, seed)
    image = keras.Input((None, None, None, 1), name="image")
    x, skips = image, []
    for level, channels in enumerate(filters):
        for block in range(blocks_per_level):
            x = parts.residual_block(x, channels, f"down{level}_block{block}")
        name = "bottleneck" if level == levels - 1 else f"down{level}"
        x = parts.drop(x, rates[level], level, f"{name}_dropout")
        if level < levels - 1:
            skips.append(x)
            x = parts.downsample(
                x, filters[level + 1], downsampling, f"down{level}_half"
            )
    for level in reversed(range(levels - 1)):
        x = parts.upsample(x, filters[level], upsampling, f"up{level}_double")
        x = keras.layers.Concatenate(name=f"up{level}_join")([skips[level], x])
        for block in range(blocks_per_level):
            x = parts.residual_block(
                x, filters[level], f"up{level}_block{block}"
            )
        stage = 2 * (levels - 1) - level
        x = parts.drop(x, rates[stage], stage, f"up{level}_dropout")
    logits = parts.head(x, num_labels, "logits")
    network = PatchNetwork(image, logits, name=model_name)
    network.divisor = 2 ** (levels - 1)
    return network
