"""What one replica of a step knows of the others.

In: the strategy that runs the step. Out: sums over replicas, its own place.
"""

from __future__ import annotations

import tensorflow as tf

from tfpartial.types import Tensor


def sum_over_replicas(value: Tensor) -> Tensor:
    """Sum tensors over all replicas; the identity for a single one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def replica_position() -> tuple[int | Tensor, int]:
    """Return the index of this replica, and how many share a step."""
    context = tf.distribute.get_replica_context()
    if context is None:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync
