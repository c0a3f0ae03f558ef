"""`unet3d` in PyTorch, layer for layer, with the weights of a Keras network.

In: "layer/weight" -> values of the Keras network. Out: a `torch.nn.Module`
(B, 1, I, J, K) -> logits (B, L, I, J, K). Group normalisation only, no
dropout: what `unet3d` computes at inference.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

CHANNELS_PER_GROUP = 8


class TorchUnet3d(nn.Module):
    """The network of `tfpartial.models.unet3d`, strided and transposed."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        names = dict.fromkeys(name.partition("/")[0] for name in weights)
        self.parts = nn.ModuleDict(
            {name: _layer(name, weights) for name in names}
        )
        self.levels = 1 + sum(name.endswith("_half") for name in names)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, skips = image, []
        for level in range(self.levels):
            x = self._blocks(x, f"down{level}")
            if level < self.levels - 1:
                skips.append(x)
                x = self.parts[f"down{level}_half"](x)
                x = self.parts[f"down{level}_half_norm"](x)
        for level in reversed(range(self.levels - 1)):
            x = self.parts[f"up{level}_double"](x)
            x = self._blocks(torch.cat([skips[level], x], 1), f"up{level}")
        return self.parts["logits"](x)

    def _blocks(self, x: torch.Tensor, stage: str) -> torch.Tensor:
        number = 0
        while f"{stage}_block{number}_conv1" in self.parts:
            x = self._residual_block(x, f"{stage}_block{number}")
            number += 1
        return x

    def _residual_block(self, x: torch.Tensor, name: str) -> torch.Tensor:
        part = self.parts
        y = part[f"{name}_norm1"](part[f"{name}_conv1"](x)).relu_()
        y = part[f"{name}_norm2"](part[f"{name}_conv2"](y))
        if f"{name}_shortcut" in part:
            x = part[f"{name}_shortcut"](x)
        return y.add_(x).relu_()


def _layer(name: str, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Return one layer with its weights in PyTorch's order of axes."""
    own = {
        key.partition("/")[2]: torch.tensor(value)
        for key, value in weights.items()
        if key.partition("/")[0] == name
    }
    if "gamma" in own:
        channels = len(own["gamma"])
        whole = channels % CHANNELS_PER_GROUP == 0
        groups = channels // CHANNELS_PER_GROUP if whole else 1
        layer: nn.Module = nn.GroupNorm(groups, channels, eps=1e-5)
        values = {"weight": own["gamma"], "bias": own["beta"]}
        layer.load_state_dict(values)
        return layer
    # Keras: (i, j, k, in, out), transposed layers (i, j, k, out, in).
    kernel = own["kernel"].permute(4, 3, 0, 1, 2).contiguous()
    size, bias = kernel.shape[2], "bias" in own
    if name.endswith("_double"):
        layer = nn.ConvTranspose3d(*kernel.shape[:2], size, 2, bias=bias)
    else:
        stride = 2 if name.endswith("_half") else 1
        layer = nn.Conv3d(kernel.shape[1], kernel.shape[0], size, stride,
                          padding=size // 2 if stride == 1 else 0,
                          bias=bias)  # fmt: skip
    values = {"weight": kernel} | ({"bias": own["bias"]} if bias else {})
    layer.load_state_dict(values)
    return layer
