"""`deepmedic`: three pathways of different reach, joined and classified.

In: patches (B, I, J, K, 1) with context. Out: float32 logits of the centre,
(B, I - 80, J - 80, K - 80, L). docs/deepmedic.md: layers, choices, costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tfpartial.errors import Faults
from tfpartial.models.registry import count_stages
from tfpartial.models.sizes import Counts, Layers, Rate, rates_of_stages

if TYPE_CHECKING:
    import keras

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

    @property
    def stages(self) -> int:
        """Layers of a pathway and those behind, the last one included."""
        return len(self.widths) + len(self.fc_widths) + 1


WIDE = Sizes((30, 40, 50, 60, 70, 80, 90, 100), (300, 300), (4, 6, 8), (2,))
# A fifth of the channels, a twenty-fifth of the work: for CPUs.
SMALL = Sizes((6, 8, 10, 12, 14, 16, 18, 20), (60, 60), (4, 6, 8), (2,))
PRESETS: dict[str, Sizes] = {"wide": WIDE, "small": SMALL}


def _stages(
    preset: Preset,
    widths: Sequence[int] | None,
    fc_widths: Sequence[int] | None,
    residual_layers: Sequence[int] | None,
    fc_residual_layers: Sequence[int] | None,
    **_: Any,
) -> int:
    """Count the hidden stages, where every shortcut has a layer."""
    sizes = _sizes(
        preset, widths, fc_widths, residual_layers, fc_residual_layers
    )
    with Faults() as faults:
        for name, layers in (
            ("residual_layers", sizes.widths),
            ("fc_residual_layers", sizes.fc_widths),
        ):
            outside = [n for n in getattr(sizes, name) if n > len(layers)]
            if outside:
                faults.add(
                    f"'network.{name}': expected layers up to {len(layers)}, "
                    f"found {outside}. Set it along with the widths."
                )
    return sizes.stages


@count_stages(_stages)
def build_deepmedic(
    *,
    num_labels: int,
    seed: int,
    model_name: str = "deepmedic",
    preset: Preset = "wide",
    widths: Counts | None = None,
    fc_widths: Counts | None = None,
    residual_layers: Layers | None = None,
    fc_residual_layers: Layers | None = None,
    dropout: Sequence[Rate] = (0.5, 0.5),
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

    Source: Kamnitsas et al., 2017, Medical Image Analysis 36, "wide" of the
    published program v0.8.4. Differs from it in: docs/deepmedic.md.
    """
    given = (widths, fc_widths, residual_layers, fc_residual_layers)
    sizes = _sizes(preset, *given)
    rates = rates_of_stages(dropout, sizes.stages)
    # Not above: a config reads the signature without waiting for Keras.
    from tfpartial.models.deepmedic_graph import join_pathways

    return join_pathways(
        sizes, rates, num_labels, seed, model_name, channels=channels
    )


def _sizes(preset: Preset, *given: Sequence[int] | None) -> Sizes:
    """Return the sizes of a preset with what is given in their place."""
    usual = PRESETS[preset]
    chosen = {
        name: tuple(getattr(usual, name) if value is None else value)
        for name, value in zip(Sizes.__dataclass_fields__, given, strict=True)
    }
    return Sizes(**chosen)
