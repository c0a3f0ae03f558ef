"""A name and sizes -> a network, whose logits are what a run needs.

In: a name, sizes. Out: a `keras.Model` with float32 logits.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops

from tfpartial.errors import InputError
from tfpartial.models.registry import (
    check_sizes,
    find_builder,
    is_foreign,
)
from tfpartial.types import Shape3


def build_network(
    name: str,
    *,
    num_labels: int,
    seed: int,
    model_name: str | None = None,
    trust_code: bool = False,
    **sizes: Any,
) -> keras.Model:
    """Build a network by its name.

    Args:
        name: such as "unet3d", or `my_package.module:build`.
        num_labels: L, channels of the logits, background included.
        seed: of the initial weights; equal seeds give equal weights.
        model_name: Keras name, such as "student"; default: the network's.
        trust_code: whether code from outside this package may be imported.
        **sizes: of the builder.

    Returns:
        A model (B, I, J, K, 1) -> (B, I - 2c, J - 2c, K - 2c, L) of float32
        logits. It may have the attributes `context_voxels`, c of each axis
        (default 0), and `divisor`, of which I, J and K must be multiples
        (default 1).

    Raises:
        InputError: see `tfpartial.models.registry.check_sizes`; a builder
            from outside that returns no `keras.Model`.
    """
    checked = check_sizes(name, sizes, trust_code)
    builder = find_builder(name, trust_code)
    given = {
        "num_labels": num_labels,
        "seed": seed,
        "model_name": model_name or name.replace(":", "."),
    }
    if is_foreign(name):  # it need not care for seeds and names
        taken = inspect.signature(builder).parameters
        given = {key: value for key, value in given.items() if key in taken}
    network = builder(**given, **checked)
    if not isinstance(network, keras.Model):
        raise InputError(
            f"'network.name': expected '{name}' to return a keras.Model, found "
            f"{type(network).__name__}. Correct the builder."
        )
    return network


def check_logits(
    network: keras.Model, num_labels: int, patch_shape: Shape3, name: str
) -> None:
    """Call a network from outside on zeros, and look at what comes out.

    A network that makes its variables when it is first called, makes them.

    Args:
        network: see `build_network`.
        num_labels: L.
        patch_shape: voxels of the output.
        name: of the builder, for the message.

    Raises:
        InputError: not float32, not L channels, or another grid.
    """
    contexts = getattr(network, "context_voxels", (0, 0, 0))
    divisor = getattr(network, "divisor", 1)
    divisors = divisor if isinstance(divisor, (tuple, list)) else [divisor] * 3
    given, expected = [1], [1]
    for size, context, whole in zip(
        patch_shape, contexts, divisors, strict=True
    ):
        # Whether the patch itself is a multiple is told elsewhere.
        given.append(-(-(size + 2 * context) // whole) * whole)
        expected.append(given[-1] - 2 * context)
    logits = network(ops.zeros([*given, 1]), training=False)
    shape = tuple(getattr(logits, "shape", ()))
    dtype = keras.backend.standardize_dtype(getattr(logits, "dtype", "float32"))
    if shape != (*expected, num_labels) or dtype != "float32":
        raise InputError(
            f"'network.name': expected '{name}' to return logits of shape "
            f"{(*expected, num_labels)} and dtype float32 for an image of "
            f"shape {(*given, 1)}, found {shape} and {dtype}. A network whose "
            f"output is smaller than its input says so by `context_voxels`; "
            f"the layer of the logits needs num_labels channels and "
            f"dtype='float32'. Correct the builder."
        )
