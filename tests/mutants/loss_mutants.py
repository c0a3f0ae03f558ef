"""Losses with the mistakes of tests/traps, traps 1 and 2.

Each has the signature of `candidate_cross_entropy`; the checks in
tests/losses/test_loss_traps.py must accept that one and reject these.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tfpartial.losses import candidate_cross_entropy


def sum_of_logits(labels: Any, logits: Any, candidates: Any) -> Any:
    """Trap 1: merges the *logits* of S by adding them before the softmax."""
    rows = ops.stack(
        [
            ops.take(ops.cast(table, "float32"), ops.cast(row, "int32"), axis=0)
            for table, row in zip(candidates, labels, strict=True)
        ]
    )
    merged = ops.sum(rows * logits, axis=-1, keepdims=True)
    others = ops.where(rows > 0, -1e30, logits)
    everything = ops.concatenate([merged, others], axis=-1)
    return ops.logsumexp(everything, axis=-1) - merged[..., 0]


def annotated_from_patch(labels: Any, logits: Any, candidates: Any) -> Any:
    """Trap 2: takes for annotated what happens to occur in the patch."""
    tables = []
    for table, row in zip(
        ops.convert_to_numpy(candidates),
        ops.convert_to_numpy(labels),
        strict=True,
    ):
        table = table.copy()
        present = table[[v for v in set(row.flat) if v != 0]].any(axis=0)
        table[0] = ~present
        table[0, 0] = True
        tables.append(ops.convert_to_tensor(table))
    return candidate_cross_entropy(labels, logits, ops.stack(tables))
