"""The training step of a peer: PyTorch, cross entropy, AdamW.

In: a network of `torch_networks`, its weights, a batch. Out: steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch_networks import DeepMedic, Named, UNet3D, Weights


class TorchStep:
    """One network, its optimizer and one batch."""

    def __init__(
        self,
        name: str,
        num_labels: int,
        options: Mapping[str, Any],
        batch: Mapping[str, np.ndarray],
        weights: Weights,
        *,
        layout: torch.memory_format,
        precision: str = "float32",
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        """Build the network and take over the weights.

        Args:
            name: "unet3d" (with group norm) or "deepmedic".
            num_labels: channels of the logits.
            options: filters, or the sizes of DeepMedic.
            batch: image (B, I, J, K, 1) and labels (B, i, j, k).
            weights: of the Keras network.
            layout: memory format of features and kernels.
            precision: float32, or bfloat16 by autocast.
            device: "cpu" or "cuda".
            compiled: whether by `torch.compile`.
        """
        network: Named
        if name == "unet3d":
            network = UNet3D(num_labels=num_labels, **options)
        else:
            network = DeepMedic(num_labels, **options)
        network.copy_weights(weights)
        network.to(device, memory_format=layout)
        self._parameters = list(network.parameters())
        self._network = torch.compile(network) if compiled else network
        self._optimizer = torch.optim.AdamW(
            self._parameters, 1e-3, weight_decay=0.004, eps=1e-7, fused=True
        )
        image = torch.from_numpy(batch["image"]).permute(0, 4, 1, 2, 3)
        self._image = image.to(device).contiguous(memory_format=layout)
        labels = torch.from_numpy(batch["labels"].astype(np.int64))
        self._labels = labels.to(device)
        self._autocast = torch.autocast(
            device, torch.bfloat16, enabled=precision == "bfloat16"
        )

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
        with self._autocast:
            logits = self._network(self._image)
        loss = torch.nn.functional.cross_entropy(logits.float(), self._labels)
        loss.backward()
        return loss
