"""Losses and networks on the backend of KERAS_BACKEND; run by test_backends.

A program of its own: Keras chooses its backend once per process.
"""

from __future__ import annotations

import sys

import numpy as np
from keras import backend, ops
from twins import slow_dropout, slow_losses

from tfpartial.losses import candidate_cross_entropy, consistency
from tfpartial.models import HashDropout, build_network, dropout_keys


def check_losses() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, (2, 3, 4, 5)).astype(np.uint8)
    logits = rng.normal(0, 4, (2, 3, 4, 5, 5)).astype(np.float32)
    candidates = rng.random((2, 7, 5)) < 0.4
    candidates[:, :, 0] = True
    np.testing.assert_allclose(
        ops.convert_to_numpy(
            candidate_cross_entropy(labels, logits, candidates)
        ),
        slow_losses.candidate_cross_entropy(labels, logits, candidates),
        atol=5e-6,
    )
    other = logits[::-1].copy()
    np.testing.assert_allclose(
        ops.convert_to_numpy(consistency(logits, other)),
        slow_losses.consistency(logits, other),
        atol=1e-6,
    )
    nothing = candidate_cross_entropy(
        labels, 1e4 * logits, np.ones_like(candidates)
    )
    assert not np.any(ops.convert_to_numpy(nothing))


def check_dropout() -> None:
    shape, samples = (2, 3, 2, 4, 5), [7, 70_000]
    with dropout_keys(2**31 + 9, 123_456, np.array(samples, np.int32), 1):
        dropped = HashDropout(0.25, 3)(np.ones(shape, "f"), training=True)
    slow = slow_dropout.mask(
        shape, 0.25, seed=2**31 + 9, step=123_456, samples=samples, stream=1,
        layer_id=3,
    )  # fmt: skip
    np.testing.assert_array_equal(ops.convert_to_numpy(dropped) > 0, slow)


def check_network(normalization: str) -> None:
    network = build_network(
        "unet3d",
        num_labels=3,
        seed=0,
        filters=[4, 6],
        normalization=normalization,
        dropout=[0.5],
    )
    image = np.ones((2, 4, 4, 4, 1), np.float32)
    with dropout_keys(0, 1, np.arange(2, dtype=np.int32), 0):
        logits = ops.convert_to_numpy(network(image, training=True))
    assert logits.shape == (2, 4, 4, 4, 3)
    assert np.all(np.isfinite(logits))


def check_deepmedic() -> None:
    network = build_network(
        "deepmedic",
        num_labels=3,
        seed=0,
        widths=[2, 3],
        residual_layers=[2],
        fc_widths=[4, 4],
        dropout=[0.5] * 5,
    )
    image = np.random.default_rng(0).normal(size=(2, 24, 25, 27, 1))
    with dropout_keys(0, 1, np.arange(2, dtype=np.int32), 0):
        logits = ops.convert_to_numpy(
            network(image.astype(np.float32), training=True)
        )
    assert logits.shape == (2, 4, 5, 7, 3)
    assert np.all(np.isfinite(logits))


if __name__ == "__main__":
    check_losses()
    check_dropout()
    for kind in ("group", "instance", "batch"):
        check_network(kind)
    check_deepmedic()
    if backend.backend() != "tensorflow" and "tensorflow" in sys.modules:
        raise SystemExit("losses or models imported tensorflow")
    print(f"checked on {backend.backend()}")
