"""How many operations the convolutions of a training step take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def training_flop(network: Any, image_shape: Sequence[int]) -> float:
    """Return the FLOP of all convolutions in one step, without a teacher.

    Forward, gradient of the kernel and gradient of the input are equally many
    products of two numbers, of two FLOP each; nobody asks for the gradient of
    the image.

    Args:
        network: a functional Keras model of one input.
        image_shape: (B, I, J, K, C).
    """
    import keras  # after the backend has been chosen

    kinds = (keras.layers.Conv3D, keras.layers.Conv3DTranspose)
    layers = [layer for layer in network.layers if isinstance(layer, kinds)]
    tensors = [x for layer in layers for x in (layer.input, layer.output)]
    shapes = iter(
        keras.Model(network.inputs, tensors).compute_output_shape(
            tuple(image_shape)
        )
    )
    total = 0.0
    for layer, before, after in zip(layers, shapes, shapes, strict=True):
        transposed = isinstance(layer, keras.layers.Conv3DTranspose)
        voxels = math.prod((before if transposed else after)[:-1])
        forward = 2.0 * voxels * math.prod(layer.kernel.shape)
        total += forward * (2 if layer.input is network.inputs[0] else 3)
    return total
