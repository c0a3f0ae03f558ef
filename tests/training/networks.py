"""Small networks and batches for the tests of training."""

from __future__ import annotations

import keras
import numpy as np

NAMES = ("background", "a", "b")


def conv_network(name: str, dropout: float = 0.0) -> keras.Model:
    """(B, I, J, K, 1) -> (B, I, J, K, 3), any Keras user's own network."""
    image = keras.Input((None, None, None, 1))
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu",
                            name=f"{name}_first")(image)  # fmt: skip
    x = keras.layers.Dropout(dropout, seed=1, name=f"{name}_dropout")(x)
    logits = keras.layers.Conv3D(len(NAMES), 1, name=f"{name}_last")(x)
    return keras.Model(image, logits, name=name)


def batch(rows: int = 4, size: int = 6, seed: int = 0) -> dict:
    """Rows with unequal numbers of informative voxels; row 1 has none."""
    rng = np.random.default_rng(seed)
    full = np.eye(3, dtype=bool)
    partial = full.copy()
    partial[0, 2] = True  # b is not annotated
    nothing = np.ones((3, 3), bool)
    ignore = np.ones((1, 3), bool)
    tables = [full, nothing, partial, partial]
    candidates = np.stack(
        [np.concatenate([tables[r % 4], ignore]) for r in range(rows)]
    )
    labels = rng.integers(0, 3, (rows, size, size, size)).astype(np.uint8)
    labels[::2, :, :, : size // 2] = 3  # ignored half
    for row in labels[2::4]:
        row[row == 2] = 0
    resolved = np.stack(
        [[True, True, r % 4 == 0] if r % 4 != 1 else [False] * 3
         for r in range(rows)]
    )  # fmt: skip
    return {
        "image": rng.normal(size=(rows, size, size, size, 1)).astype("float32"),
        "labels": labels,
        "candidates": candidates,
        "annotated_labels": resolved,
        "resolved_labels": resolved,
        "row": np.arange(rows, dtype=np.int32),
    }
