"""The training step of a peer: PyTorch, cross entropy, AdamW.

In: sizes of `unet3d`, its weights, a batch. Out: steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch_networks import UNet3D, Weights


class TorchStep:
    """One network, its optimizer and one batch."""

    def __init__(
        self,
        num_labels: int,
        options: Mapping[str, Any],
        batch: Mapping[str, np.ndarray],
        weights: Weights,
        *,
        layout: torch.memory_format,
    ) -> None:
        """Build the network and take over the weights.

        Args:
            num_labels: channels of the logits.
            options: of `UNet3D`: filters, normalization.
            batch: image (B, I, J, K, 1) and labels (B, i, j, k).
            weights: of the Keras network.
            layout: memory format of features and kernels.
        """
        self._network = UNet3D(num_labels=num_labels, **options)
        self._network.copy_weights(weights)
        self._network.to(memory_format=layout)
        self._parameters = list(self._network.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters, 1e-3, weight_decay=0.004, eps=1e-7, fused=True
        )
        image = torch.from_numpy(batch["image"]).permute(0, 4, 1, 2, 3)
        self._image = image.contiguous(memory_format=layout)
        self._labels = torch.from_numpy(batch["labels"].astype(np.int64))

    def __call__(self) -> float:
        """Take one step; return its loss."""
        loss = self._gradient()
        self._optimizer.step()
        return loss.item()

    def loss_and_norm(self) -> tuple[float, float]:
        """Return the loss and the norm of its gradient, without a step."""
        loss = self._gradient()
        gradients = [p.grad for p in self._parameters]
        return loss.item(), float(torch.nn.utils.get_total_norm(gradients))

    def _gradient(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._network(self._image)
        loss = torch.nn.functional.cross_entropy(logits, self._labels)
        loss.backward()
        return loss
