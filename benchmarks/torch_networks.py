"""`unet3d` in PyTorch, layer by layer, with the same weights.

In: its sizes, weights by the name of a Keras layer.
Out: a `torch.nn.Module` (B, 1, I, J, K) -> logits (B, L, I, J, K).
Peers of the benchmarks: written as a PyTorch user would, with the fused
operations that PyTorch has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# Written anew, not imported: importing the registry would import Keras and its
# backend into PyTorch's process.
CHANNELS_PER_GROUP = 8

Weights = Mapping[str, Sequence[np.ndarray]]


def _in_order_of_keras(part: nn.Module) -> list[Tensor]:
    own = [part.weight]
    if getattr(part, "bias", None) is not None:
        own.append(part.bias)
    if isinstance(part, nn.BatchNorm3d):
        own += [part.running_mean, part.running_var]
    return own


class UNet3D(nn.Module):
    """`unet3d` with strided and transposed convolutions, without dropout."""

    def __init__(
        self,
        filters: Sequence[int],
        num_labels: int,
        normalization: str = "group",
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()  # by the names of the Keras layers
        self.filters = tuple(filters)
        self.normalization = normalization
        before = 1
        for level, width in enumerate(filters):
            self._add_block(f"down{level}_block0", before, width)
            before = width
            if level < len(filters) - 1:
                before = filters[level + 1]
                self._add_conv(f"down{level}_half", width, before, 2, 2)
                self._add_norm(f"down{level}_half_norm", before)
        for level in reversed(range(len(filters) - 1)):
            width = filters[level]
            self.parts[f"up{level}_double"] = nn.ConvTranspose3d(
                filters[level + 1], width, 2, stride=2
            )
            self._add_block(f"up{level}_block0", 2 * width, width)
        self.parts["logits"] = nn.Conv3d(filters[0], num_labels, 1)

    def _add_conv(
        self, name: str, before: int, after: int, size: int, stride: int = 1
    ) -> None:
        self.parts[name] = nn.Conv3d(
            before, after, size, stride, (size - 1) // 2, bias=False
        )

    def _add_norm(self, name: str, width: int) -> None:
        if self.normalization == "batch":
            self.parts[name] = nn.BatchNorm3d(width, eps=1e-3, momentum=0.01)
            return
        whole = width % CHANNELS_PER_GROUP == 0
        groups = width // CHANNELS_PER_GROUP if whole else 1
        self.parts[name] = nn.GroupNorm(groups, width)

    def _add_block(self, name: str, before: int, after: int) -> None:
        self._add_conv(f"{name}_conv1", before, after, 3)
        self._add_norm(f"{name}_norm1", after)
        self._add_conv(f"{name}_conv2", after, after, 3)
        self._add_norm(f"{name}_norm2", after)
        if before != after:
            self._add_conv(f"{name}_shortcut", before, after, 1)

    def _block(self, x: Tensor, name: str) -> Tensor:
        parts = self.parts
        y = parts[f"{name}_norm1"](parts[f"{name}_conv1"](x))
        y = functional.relu(y, inplace=True)
        y = parts[f"{name}_norm2"](parts[f"{name}_conv2"](y))
        if f"{name}_shortcut" in parts:
            x = parts[f"{name}_shortcut"](x)
        return functional.relu(y + x, inplace=True)

    def copy_weights(self, weights: Weights) -> None:
        """Take the weights of the Keras network.

        Args:
            weights: layer -> its arrays in the order of Keras.
        """
        with torch.no_grad():
            for name, part in self.parts.items():
                given = dict(enumerate(weights[name]))
                for order, own in enumerate(_in_order_of_keras(part)):
                    array = given.pop(order)
                    if array.ndim == 5:
                        # (i, j, k, in, out) -> (out, in, i, j, k); of a
                        # transposed one Keras and PyTorch name in and out
                        # the other way round, both.
                        array = array.transpose(4, 3, 0, 1, 2)
                    own.copy_(torch.from_numpy(array.reshape(own.shape)))
                if given:
                    raise ValueError(f"{name}: more weights than expected.")

    def forward(self, x: Tensor) -> Tensor:
        parts, skips = self.parts, []
        for level in range(len(self.filters)):
            x = self._block(x, f"down{level}_block0")
            if level < len(self.filters) - 1:
                skips.append(x)
                x = parts[f"down{level}_half"](x)
                x = parts[f"down{level}_half_norm"](x)
        for level in reversed(range(len(self.filters) - 1)):
            x = parts[f"up{level}_double"](x)
            x = torch.cat([skips[level], x], dim=1)
            x = self._block(x, f"up{level}_block0")
        return parts["logits"](x)
