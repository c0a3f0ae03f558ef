"""DeepMedic's RMSProp: by hand, against a slow twin, on two replicas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpartial.config import Fit
from tfpartial.training.optimizers import NesterovRMSprop, build_optimizer


def _nesterov(**changes: object) -> Fit:
    section = {"name": "nesterov_rmsprop", "schedule": "constant"} | changes
    return Fit.model_validate({"optimizer": section})


def _slow(
    weights: np.ndarray,
    gradients: list[np.ndarray],
    rates: list[float],
    rho: float,
    momentum: float,
    epsilon: float,
) -> np.ndarray:
    """The update number by number, in Python's float64."""
    w, a, v = weights.tolist(), [0.0] * len(weights), [0.0] * len(weights)
    for gradient, rate in zip(gradients, rates, strict=True):
        for n, g in enumerate(gradient):
            a[n] = rho * a[n] + (1 - rho) * g * g
            s = rate * g / (a[n] + epsilon) ** 0.5
            v[n] = momentum * v[n] - s
            w[n] = w[n] + momentum * v[n] - s
    return np.array(w)


def _run(
    optimizer: keras.optimizers.Optimizer,
    weights: np.ndarray,
    gradients: list[np.ndarray],
) -> np.ndarray:
    variable = keras.Variable(weights, dtype="float32")
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    return variable.numpy()


def test_first_step_by_hand() -> None:
    # a = .1 * 4 = .4; s = .1 * 2 / sqrt(.4 + .09) = .2 / .7;
    # v = -s; w = 1 - .6 s - s = 1 - 1.6 * .2857 = .542857.
    optimizer = NesterovRMSprop(0.1, rho=0.9, momentum=0.6, epsilon=0.09)
    found = _run(optimizer, np.array([1.0]), [np.array([2.0])])
    assert found[0] == pytest.approx(1 - 1.6 * 0.2 / 0.7, abs=1e-6)


def test_second_step_by_hand() -> None:
    # No gradient: a = .9 * .4, s = 0, v = .6 * -.2/.7, w = .542857 + .6 v.
    optimizer = NesterovRMSprop(0.1, rho=0.9, momentum=0.6, epsilon=0.09)
    found = _run(optimizer, np.array([1.0]), [np.array([2.0]), np.zeros(1)])
    first, velocity = 1 - 1.6 * 0.2 / 0.7, -0.6 * 0.2 / 0.7
    assert found[0] == pytest.approx(first + 0.6 * velocity, abs=1e-6)


def test_equals_the_slow_twin_with_a_schedule() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=3)
    # Sizes around sqrt(epsilon), where its place inside the root matters.
    gradients = list(random.normal(size=(12, 3)) * [1e-3, 1e-2, 1.0])
    options = _nesterov(
        learning_rate=0.02,
        schedule="halvings",
        halve_at_epochs=[1, 2],
        rho=0.8,
        momentum=0.7,
        epsilon=1e-4,
    ).model_copy(update={"epochs": 3, "steps_per_epoch": 4})
    rates = [0.02] * 4 + [0.01] * 4 + [0.005] * 4
    expected = _slow(weights, gradients, rates, 0.8, 0.7, 1e-4)
    found = _run(build_optimizer(options), weights, gradients)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_keras_rmsprop_is_another_optimizer() -> None:
    """Heavy ball steps by v alone: without momentum both are one."""
    gradients = [np.array([1.0]), np.array([-0.5]), np.array([2.0])]
    for momentum, agree in ((0.0, True), (0.6, False)):
        options = {"rho": 0.9, "momentum": momentum, "epsilon": 1e-4}
        ours = _run(NesterovRMSprop(0.1, **options), np.zeros(1), gradients)
        keras_own = _run(
            keras.optimizers.RMSprop(0.1, **options), np.zeros(1), gradients
        )
        assert np.allclose(ours, keras_own, atol=1e-6) is agree
    first = _run(NesterovRMSprop(0.1, **options), np.zeros(1), gradients[:1])
    heavy = _run(
        keras.optimizers.RMSprop(0.1, **options), np.zeros(1), gradients[:1]
    )
    assert first[0] / heavy[0] == pytest.approx(1.6, rel=1e-5)


def test_two_replicas_are_one(two_replicas: tf.distribute.Strategy) -> None:
    """Gradients are summed over replicas; a and v are those of the sum."""
    random = np.random.default_rng(1)
    parts = random.normal(size=(5, 2, 3)).astype("float32")
    weights = np.ones(3, "float32")
    one = _run(NesterovRMSprop(0.1), weights, list(parts.sum(1)))
    with two_replicas.scope():
        variable = keras.Variable(weights)
        optimizer = NesterovRMSprop(0.1)
        optimizer.build([variable])

    @tf.function
    def step(gradients: tf.Tensor) -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply([gradients[replica]], [variable])

    for gradients in parts:
        two_replicas.run(step, args=(tf.constant(gradients),))
    np.testing.assert_allclose(variable.numpy(), one, rtol=1e-5, atol=1e-6)


def test_survives_serialisation() -> None:
    before = NesterovRMSprop(0.3, rho=0.8, momentum=0.5, epsilon=1e-2)
    after = keras.optimizers.deserialize(keras.optimizers.serialize(before))
    assert isinstance(after, NesterovRMSprop)
    assert after.get_config() == before.get_config()
    gradients = [np.array([1.0]), np.array([2.0])]
    assert _run(before, np.ones(1), gradients) == _run(
        after, np.ones(1), gradients
    )


def test_a_checkpoint_keeps_squares_and_velocities(tmp_path) -> None:
    gradients = list(np.random.default_rng(2).normal(size=(6, 3)))
    whole = _run(NesterovRMSprop(0.1), np.ones(3), gradients)

    def made() -> tuple[keras.Variable, NesterovRMSprop, tf.train.Checkpoint]:
        variable = keras.Variable(np.ones(3), dtype="float32")
        optimizer = NesterovRMSprop(0.1)
        optimizer.build([variable])
        return variable, optimizer, tf.train.Checkpoint(
            weight=variable.value, optimizer=optimizer
        )  # fmt: skip

    variable, optimizer, checkpoint = made()
    for gradient in gradients[:3]:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    path = checkpoint.write(str(tmp_path / "state"))
    variable, optimizer, checkpoint = made()
    checkpoint.read(path).assert_consumed()
    for gradient in gradients[3:]:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    np.testing.assert_array_equal(variable.numpy(), whole)
    assert int(optimizer.iterations.numpy()) == 6


def test_the_name_chooses_and_adamw_is_the_default() -> None:
    usual = build_optimizer(Fit())
    assert isinstance(usual, keras.optimizers.AdamW)
    assert usual.weight_decay == 1e-5
    chosen = build_optimizer(
        _nesterov(learning_rate=0.5, rho=0.8, momentum=0.3, epsilon=1e-3)
    )
    assert isinstance(chosen, NesterovRMSprop)
    assert (chosen.rho, chosen.momentum, chosen.epsilon) == (0.8, 0.3, 1e-3)
    assert float(chosen.learning_rate) == 0.5
