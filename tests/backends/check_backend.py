"""Losses and networks on the backend of KERAS_BACKEND; run by test_backends.

A program of its own: Keras chooses its backend once per process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import backend, ops
from twins import slow_dropout, slow_losses, slow_norm

from tfpartial.losses import (
    candidate_cross_entropy,
    consistency,
    consistency_term,
    soft_dice_term,
    supervised_term,
    total_cost,
)
from tfpartial.models import HashDropout, build_network, dropout_keys
from tfpartial.models.group_norm import GroupNorm


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
    terms = [supervised_term(), soft_dice_term(0.5),
             consistency_term(lambda steps: steps / 4)]  # fmt: skip
    batch = {"labels": labels, "candidates": candidates}
    cost, parts = total_cost(terms, batch, logits, other, 2)
    means = [float(part.numerator) / max(float(part.count), 1)
             for part in parts]  # fmt: skip
    np.testing.assert_allclose(
        float(cost), np.dot([1, 0.5, 0.5], means), rtol=1e-6
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


def gradients(value_of: Callable, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return the gradients of a scalar by the backend's own means."""
    if backend.backend() == "jax":
        import jax

        found = jax.grad(value_of, argnums=range(len(arrays)))(*arrays)
    elif backend.backend() == "torch":
        tensors = [ops.convert_to_tensor(a).requires_grad_() for a in arrays]
        value_of(*tensors).backward()
        found = [tensor.grad for tensor in tensors]
    else:
        import tensorflow as tf

        tensors = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = value_of(*tensors)
        found = tape.gradient(value, tensors)
    return [ops.convert_to_numpy(each) for each in found]


def check_group_norm() -> None:
    """Along a direction the gradient is the slope of the slow twin."""
    shape, rng = (2, 3, 2, 4, 6), np.random.default_rng(0)
    layer = GroupNorm(2)
    layer.build(shape)
    shapes = (shape, (6,), (6,))
    start = [rng.normal(size=s).astype(np.float32) for s in shapes]
    way = [rng.normal(size=s) for s in shapes]
    weight = rng.normal(size=shape)

    def value(step: float) -> float:
        x, gamma, beta = (a + step * w for a, w in zip(start, way, strict=True))
        y = slow_norm.group_norm(x, 2, gamma, beta, layer.epsilon)
        return float(np.sum(y * weight))

    def loss(x: Any, gamma: Any, beta: Any) -> Any:
        y = ops.custom_gradient(layer._normalized)(x, gamma, beta)
        return ops.sum(y * ops.convert_to_tensor(weight.astype(np.float32)))

    slope = sum(
        float(np.sum(g * w))
        for g, w in zip(gradients(loss, start), way, strict=True)
    )
    expected = (value(1e-5) - value(-1e-5)) / 2e-5
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


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
    check_group_norm()
    for kind in ("group", "instance", "batch"):
        check_network(kind)
    check_deepmedic()
    if backend.backend() != "tensorflow" and "tensorflow" in sys.modules:
        raise SystemExit("losses or models imported tensorflow")
    print(f"checked on {backend.backend()}")
