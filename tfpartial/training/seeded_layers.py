"""Dropout of Keras' own layers: new masks in each step and on each replica.

In: a network with layers that draw from a seed. Out: their states, set.
"""

from __future__ import annotations

import keras
from keras import ops

from tfpartial.training.replicas import replica_position
from tfpartial.types import Tensor


def reseed_dropout(
    network: keras.Model, seed: int, step: Tensor, stream: int
) -> None:
    """Give the seeded layers of a network masks of their own in this step.

    Networks of the registry do without (their masks come from a hash). Layers
    of Keras draw the same mask on every replica, and a clone the same as its
    original; here the state becomes a function of (seed, step, layer, student
    or teacher, replica). It needs no checkpoint; it does depend on how many
    replicas there are.
    """
    replica, _ = replica_position()
    for order, variable in enumerate(seed_states(network)):
        first = seed + 1_000_003 * (stream + 1) + 7919 * order
        place = first + 104_729 * ops.cast(replica, "int64")
        # Room for a layer that draws several times in a step.
        state = ops.stack([place, ops.cast(step, "int64") * 1024])
        variable.assign(ops.cast(state, variable.dtype))


def seed_states(network: keras.Model) -> list[keras.Variable]:
    """Return the states of a network's random layers."""
    variables = network.non_trainable_variables
    return [v for v in variables if "seed_generator" in v.path]
