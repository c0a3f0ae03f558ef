"""The registry's networks in PyTorch, layer by layer, with the same weights.

In: sizes of `unet3d` or `deepmedic`, weights by the name of a Keras layer.
Out: a `torch.nn.Module` (B, 1, I, J, K) -> logits (B, L, I', J', K').
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
FACTORS = (1, 3, 5)

Weights = Mapping[str, Sequence[np.ndarray]]


class Named(nn.Module):
    """A network whose parts have the names of the Keras layers."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()

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


def _in_order_of_keras(part: nn.Module) -> list[Tensor]:
    own = [part.weight]
    if getattr(part, "bias", None) is not None:
        own.append(part.bias)
    if isinstance(part, nn.BatchNorm3d):
        own += [part.running_mean, part.running_var]
    return own


class UNet3D(Named):
    """`unet3d` with strided and transposed convolutions, without dropout."""

    def __init__(
        self,
        filters: Sequence[int],
        num_labels: int,
        normalization: str = "group",
    ) -> None:
        super().__init__()
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


class DeepMedic(Named):
    """`deepmedic` without dropout."""

    def __init__(
        self,
        num_labels: int,
        widths: Sequence[int],
        fc_widths: Sequence[int],
        residual_layers: Sequence[int],
        fc_residual_layers: Sequence[int],
    ) -> None:
        super().__init__()
        self.widths, self.fc_widths = tuple(widths), tuple(fc_widths)
        self.residual_layers = tuple(residual_layers)
        self.fc_residual_layers = tuple(fc_residual_layers)
        for factor in FACTORS:
            before = 1
            for layer, width in enumerate(widths, start=1):
                name = f"x{factor}_layer{layer}"
                if layer == 1:
                    self.parts[f"{name}_bias"] = _Bias(before)
                else:
                    self._add_activation(name, before)
                self.parts[f"{name}_conv"] = nn.Conv3d(
                    before, width, 3, bias=False
                )
                before = width
        before = len(FACTORS) * widths[-1]
        for layer, width in enumerate([*fc_widths, num_labels], start=1):
            self._add_activation(f"fc{layer}", before)
            last = layer > len(fc_widths)
            self.parts[f"fc{layer}_conv"] = nn.Conv3d(
                before, width, 3 if layer == 1 else 1, bias=last
            )
            before = width

    def _add_activation(self, name: str, width: int) -> None:
        self.parts[f"{name}_norm"] = nn.BatchNorm3d(
            width, eps=1e-5, momentum=2 / 61
        )
        self.parts[f"{name}_prelu"] = nn.PReLU(width)

    def _activate(self, x: Tensor, name: str) -> Tensor:
        return self.parts[f"{name}_prelu"](self.parts[f"{name}_norm"](x))

    def _pathway(self, x: Tensor, factor: int) -> Tensor:
        inputs: list[Tensor] = []
        for layer in range(1, len(self.widths) + 1):
            inputs.append(x)
            name = f"x{factor}_layer{layer}"
            if layer == 1:
                x = self.parts[f"{name}_bias"](x)
            else:
                x = self._activate(x, name)
            x = self.parts[f"{name}_conv"](x)
            if layer in self.residual_layers:
                x = _add_centre(x, inputs[-2], 2)
        return x

    def forward(self, image: Tensor) -> Tensor:
        deep = len(self.widths)
        found: list[Tensor] = []
        for factor in FACTORS:
            crop = (max(FACTORS) - factor) * deep
            taken = slice(crop, -crop or None, factor)
            x = self._pathway(image[:, :, taken, taken, taken], factor)
            if factor > 1:
                i, j, k = found[0].shape[2:]
                x = functional.interpolate(x, scale_factor=factor)
                x = x[:, :, :i, :j, :k]
            found.append(x)
        x, inputs = torch.cat(found, dim=1), []
        for layer in range(1, len(self.fc_widths) + 2):
            inputs.append(x)
            x = self._activate(x, f"fc{layer}")
            if layer == 1:
                x = functional.pad(x, (1,) * 6, mode="replicate")
            x = self.parts[f"fc{layer}_conv"](x)
            if layer in self.fc_residual_layers:
                x = _add_centre(x, inputs[-2], 0)
        return x


class _Bias(nn.Module):
    """One learnt number per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.view(-1, 1, 1, 1)


def _add_centre(later: Tensor, earlier: Tensor, crop: int) -> Tensor:
    """Add the centre of earlier features; missing channels get nothing."""
    taken = slice(crop, -crop or None)
    centre = earlier[:, :, taken, taken, taken]
    missing = later.shape[1] - centre.shape[1]
    return later + functional.pad(centre, (0,) * 7 + (missing,))
