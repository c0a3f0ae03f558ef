"""Networks by name.

In: a name and sizes from a config. Out: a `keras.Model`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

from tfpartial.errors import InputError, did_you_mean

Builder = Callable[..., keras.Model]

_builders: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Return a decorator that makes a builder known as `name`.

    A builder takes `num_labels`, `seed` and `model_name` by keyword, and its
    own sizes. It returns a model (B, I, J, K, 1) -> (B, I', J', K', L) of
    float32 logits with two attributes: `context_voxels`, how many voxels are
    cut off at each side of an axis (3 ints), and `divisor`, of which input
    sizes must be a multiple (1 int).

    Raises:
        ValueError: the name is taken by another builder.
    """

    def add(builder: Builder) -> Builder:
        if _builders.get(name, builder) is not builder:
            raise ValueError(f"network '{name}' is registered twice.")
        _builders[name] = builder
        return builder

    return add


def registered_networks() -> tuple[str, ...]:
    """Return the known names, sorted."""
    return tuple(sorted(_builders))


def build_network(
    name: str,
    *,
    num_labels: int,
    seed: int,
    model_name: str | None = None,
    **sizes: Any,
) -> keras.Model:
    """Build a network by its name in the registry.

    Args:
        name: such as "unet3d".
        num_labels: L, channels of the logits, background included.
        seed: of the initial weights; equal seeds give equal weights.
        model_name: Keras name, such as "student"; default: the network's.
        **sizes: of the builder.

    Returns:
        A model with `context_voxels` and `divisor` (see `register`).

    Raises:
        InputError: unknown name, or a size that the network does not have.
    """
    if name not in _builders:
        raise InputError(
            f"network.name: '{name}' is not registered; known: "
            f"{', '.join(registered_networks())}."
            + did_you_mean(name, registered_networks())
        )
    builder = _builders[name]
    known = [
        p for p in inspect.signature(builder).parameters if p != "model_name"
    ]
    unknown = [size for size in sizes if size not in known]
    if unknown:
        raise InputError(
            *(
                f"network.{size}: '{name}' has no such size; it has "
                f"{', '.join(known)}." + did_you_mean(size, known)
                for size in unknown
            )
        )
    return builder(
        num_labels=num_labels,
        seed=seed,
        model_name=model_name or name,
        **sizes,
    )
