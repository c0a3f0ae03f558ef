"""One step of the Mean Teacher, alone and on two replicas."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import NAMES, batch, conv_network

from tfpartial.losses import (
    Reduction,
    Term,
    candidate_soft_dice,
    consistency_term,
    soft_dice_term,
    supervised_term,
    weight_penalty_term,
)
from tfpartial.models import build_network
from tfpartial.training.mean_teacher import MeanTeacher, NonFiniteLossError
from tfpartial.training.seeded_layers import reseed_dropout


def _model(
    make: Callable[[str], keras.Model] = conv_network,
    *,
    teacher: bool = True,
    optimizer: keras.optimizers.Optimizer | None = None,
    terms: Callable[[keras.Model], list[Term]] = lambda _: None,
    **options: object,
) -> MeanTeacher:
    keras.utils.set_random_seed(3)
    student = make("student")
    model = MeanTeacher(
        student,
        make("teacher") if teacher else None,
        NAMES,
        terms(student),
        **options,
    )
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1))
    model.optimizer.build(model.student.trainable_variables)
    return model


def _weighted(weight: float) -> Callable[[keras.Model], list[Term]]:
    """The terms of the paper, with a weight of consistency."""
    return lambda _: [supervised_term(), consistency_term(weight)]


def _with_penalty(l1: float, l2: float) -> Callable[[keras.Model], list[Term]]:
    return lambda student: [
        supervised_term(),
        weight_penalty_term(student, l1, l2),
    ]


def _every_term(student: keras.Model) -> list[Term]:
    """The order of a run."""
    return [
        supervised_term(),
        soft_dice_term(0.5),
        consistency_term(lambda step: 0.25 * (step + 1)),
        weight_penalty_term(student, 1e-3, 1e-2),
    ]


def _tensors(data: dict) -> dict[str, tf.Tensor]:
    return {key: tf.constant(value) for key, value in data.items()}


def _dataset(steps: int, rows: int = 4) -> tf.data.Dataset:
    """A different global batch each step."""
    parts = [batch(rows, seed=step) for step in range(steps)]
    whole = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    return tf.data.Dataset.from_tensor_slices(whole).batch(
        rows, drop_remainder=True
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def _slow_losses(model: MeanTeacher, data: dict) -> tuple[float, float]:
    """Supervised and consistency loss, voxel by voxel."""
    p = _softmax(model.student(data["image"], training=False).numpy())
    q = _softmax(model.teacher(data["image"], training=False).numpy())
    losses = []
    for index in np.ndindex(data["labels"].shape):
        allowed = data["candidates"][index[0], data["labels"][index]]
        if not allowed.all():
            losses.append(-np.log(p[index][allowed].sum()))
    return float(np.mean(losses)), float(np.mean((p - q) ** 2))


def test_total_is_supervised_plus_weighted_consistency() -> None:
    model = _model(terms=_weighted(0.5))
    shifted = [w + 0.1 * np.cos(np.arange(w.size)).reshape(w.shape)
               for w in model.teacher.get_weights()]  # fmt: skip
    model.teacher.set_weights(shifted)
    data = batch()
    supervised, consistency = _slow_losses(model, data)
    total = model.train_step(_tensors(data))
    assert consistency > 1e-5
    assert float(total) == pytest.approx(
        supervised + 0.5 * consistency, rel=1e-5
    )
    logs = model.get_metrics_result()
    assert float(logs["supervised"]) == pytest.approx(supervised, rel=1e-5)
    assert float(logs["consistency"]) == pytest.approx(consistency, rel=1e-4)


def test_consistency_reaches_the_gradient() -> None:
    # trap 3 (tests/traps): the term is logged but never added.
    updated = []
    for weight in (0.0, 10.0):
        model = _model(terms=_weighted(weight))
        model.teacher.set_weights(
            [w + 0.3 for w in model.teacher.get_weights()]
        )
        model.train_step(_tensors(batch()))
        updated.append(model.student.get_weights()[0])
    assert np.abs(updated[0] - updated[1]).max() > 1e-4


def test_decay_of_the_config_is_the_decay_of_the_teacher() -> None:
    # Trap 3: the decay is in the config and hard-coded in the code.
    data = _dataset(3)
    for decay in (0.0, 0.9):
        model = _model(ema_decay=decay)
        averaged = model.student.get_weights()
        for step, rows in enumerate(data):
            model.train_step(rows)
            alpha = min(decay, 1 - 1 / (step + 1))
            averaged = [alpha * a + (1 - alpha) * s for a, s in
                        zip(averaged, model.student.get_weights(),
                            strict=True)]  # fmt: skip
        for expected, found in zip(
            averaged, model.teacher.get_weights(), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_teacher_has_no_trainable_variables_and_starts_as_the_student() -> None:
    model = _model()
    assert model.teacher.trainable_variables == []
    for s, t in zip(
        model.student.get_weights(), model.teacher.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(s, t)


def test_nothing_annotated_means_no_loss_and_no_step() -> None:
    model = _model(teacher=False)
    data = batch()
    data["candidates"][:] = True
    before = model.student.get_weights()
    total = model.train_step(_tensors(data))
    assert float(total) == 0.0
    for old, new in zip(before, model.student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def _hashed(name: str) -> keras.Model:
    return build_network(
        "unet3d", num_labels=3, seed=5, model_name=name, filters=[4, 6],
        blocks_per_level=1, normalization="group", dropout=[0.5, 0.5],
    )  # fmt: skip


def _fit(strategy: tf.distribute.Strategy | None) -> MeanTeacher:
    def run() -> MeanTeacher:
        return _model(
            _hashed,
            optimizer=keras.optimizers.AdamW(1e-2, weight_decay=1e-3),
            clip_norm=0.1,
            terms=_every_term,
            ema_decay=0.9,
        )

    if strategy is None:
        model = run()
    else:
        with strategy.scope():
            model = run()
    model.fit(_dataset(20, rows=2), verbose=0, shuffle=False)
    return model


def test_two_replicas_are_one(two_replicas: tf.distribute.Strategy) -> None:
    """Adam, clipping, soft Dice, L1/L2, dropout; a replica that counts nothing.

    20 steps; each tensor is compared by max|difference| / max|weight|.
    Row 1 of every batch carries no information, so that the second replica
    never counts a voxel: a mean of per-replica means would halve the loss.
    """
    one, two = _fit(None), _fit(two_replicas)
    for kind in ("student", "teacher"):
        for a, b in zip(
            getattr(one, kind).weights, getattr(two, kind).weights, strict=True
        ):
            a, b = a.numpy(), b.numpy()
            scale = np.abs(a).max() + 1e-12
            assert np.abs(a - b).max() / scale < 1e-5, (kind, a.shape)
    logs_one, logs_two = one.get_metrics_result(), two.get_metrics_result()
    for key, value in logs_one.items():
        assert float(logs_two[key]) == pytest.approx(float(value), rel=1e-4)


def _penalty_of(weights: list[np.ndarray], l1: float, l2: float) -> float:
    """The sums over kernels: weights 0 and 2 of `conv_network`."""
    kernels = [weights[0], weights[2]]
    assert [k.ndim for k in kernels] == [5, 5]
    return sum(
        l1 * np.abs(k).sum() + l2 * (k.astype("float64") ** 2).sum()
        for k in kernels
    )


def test_soft_dice_is_in_the_total_and_the_log() -> None:
    data = _tensors(batch())
    plain = _model(teacher=False)
    with_dice = _model(
        teacher=False, terms=lambda _: [supervised_term(), soft_dice_term(0.5)]
    )
    expected = candidate_soft_dice(
        data["labels"], plain.student(data["image"]), data["candidates"]
    )
    terms, counted = (np.asarray(part) for part in expected)
    assert counted.sum() > 1
    dice = terms.sum() / counted.sum()
    difference = with_dice.train_step(data) - plain.train_step(data)
    assert float(difference) == pytest.approx(0.5 * dice, rel=1e-4)
    logs = with_dice.get_metrics_result()
    assert float(logs["soft_dice"]) == pytest.approx(dice, rel=1e-4)
    assert "soft_dice" not in plain.get_metrics_result()


def test_penalty_is_in_total_gradient_and_log() -> None:
    """One step of plain descent without data moves kernels by the formula."""
    model = _model(teacher=False, terms=_with_penalty(0.01, 0.02))
    data = batch()
    data["candidates"][:] = True  # no supervised loss
    before = model.student.get_weights()
    total = model.train_step(_tensors(data))
    expected = _penalty_of(before, 0.01, 0.02)
    assert expected > 0.1
    assert float(total) == pytest.approx(expected, rel=1e-5)
    logs = model.get_metrics_result()
    assert float(logs["weight_penalty"]) == pytest.approx(expected, rel=1e-5)
    assert float(logs["supervised"]) == 0.0
    for old, new in zip(before, model.student.get_weights(), strict=True):
        slope = 0.01 * np.sign(old) + 2 * 0.02 * old
        kernel = old.ndim == 5
        np.testing.assert_allclose(
            new, old - 0.1 * slope * kernel, rtol=1e-5, atol=1e-7
        )


def test_two_replicas_count_the_penalty_once(
    two_replicas: tf.distribute.Strategy,
) -> None:
    with two_replicas.scope():
        model = _model(teacher=False, terms=_with_penalty(0.01, 0.02))
    data = batch(2)
    data["candidates"][:] = True
    before = model.student.get_weights()
    rows = tf.data.Dataset.from_tensor_slices(data).batch(2)
    history = model.fit(rows, verbose=0, shuffle=False).history
    expected = _penalty_of(before, 0.01, 0.02)
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]
    assert history["weight_penalty"] == [pytest.approx(expected, rel=1e-5)]
    moved = before[0] - 0.1 * (0.01 * np.sign(before[0]) + 0.04 * before[0])
    np.testing.assert_allclose(
        model.student.get_weights()[0], moved, rtol=1e-5, atol=1e-7
    )


def test_penalty_leaves_the_teacher_alone() -> None:
    # Its kernels would double R; they follow the student's by the average.
    model = _model(terms=_with_penalty(0.01, 0.02))
    data = batch()
    data["candidates"][:] = True
    before = model.student.get_weights()
    total = model.train_step(_tensors(data))
    assert float(total) == pytest.approx(
        _penalty_of(before, 0.01, 0.02), rel=1e-5
    )


def _moved_teacher(model: MeanTeacher) -> None:
    model.teacher.set_weights([w + 0.3 for w in model.teacher.get_weights()])


def test_loss_is_the_same_cost_in_both_steps() -> None:
    """With a rate of 0 and no dropout; both at step 0 and at step 1."""
    model = _model(optimizer=keras.optimizers.SGD(0.0), terms=_every_term)
    data = _tensors(batch())
    for step in range(2):
        _moved_teacher(model)
        logs = []
        for take_step in (model.test_step, model.train_step):
            model.reset_metrics()
            total = float(take_step(data))
            logs.append({k: float(v) for k, v in
                         model.get_metrics_result().items()})  # fmt: skip
            assert logs[-1]["loss"] == pytest.approx(total, rel=1e-6)
        assert logs[0] == pytest.approx(logs[1], rel=1e-5)
        weights = [1, 0.5, 0.25 * (step + 1), 1]
        parts = [logs[0][term.name] for term in model.terms]
        assert min(parts) > 1e-4
        assert total == pytest.approx(np.dot(weights, parts), rel=1e-5)


def test_a_term_of_ones_own_is_in_total_log_and_gradient() -> None:
    """Half of the mean square of the logits, over the voxels of the batch."""

    def squares(data: dict, logits: tf.Tensor, _: tf.Tensor) -> Reduction:
        values = tf.reduce_sum(logits**2, -1)
        return Reduction(tf.reduce_sum(values * data["mark"]),
                         tf.reduce_sum(data["mark"]))  # fmt: skip

    model = _model(teacher=False,
                   terms=lambda _: [Term("squares", 0.5, squares)])  # fmt: skip
    data = batch()
    data["mark"] = (data["labels"] == 1).astype("float32")
    logits = model.student(data["image"]).numpy()
    expected = (logits[data["mark"] > 0] ** 2).sum(-1).mean()
    before = model.student.get_weights()[0]
    total = model.train_step(_tensors(data))
    assert float(total) == pytest.approx(0.5 * expected, rel=1e-5)
    logs = model.get_metrics_result()
    assert float(logs["squares"]) == pytest.approx(expected, rel=1e-5)
    assert "supervised" not in logs
    assert np.abs(model.student.get_weights()[0] - before).max() > 1e-4


@pytest.mark.parametrize(
    "terms",
    [[], [supervised_term()] * 2,
     [Term("loss", 1.0, supervised_term().fn)]],
)  # fmt: skip
def test_terms_that_logs_cannot_tell_apart_are_refused(terms: list) -> None:
    with pytest.raises(ValueError, match="terms: expected one or more"):
        _model(terms=lambda _: terms)


def test_consistency_without_a_teacher_is_refused() -> None:
    model = _model(teacher=False, terms=_weighted(1.0))
    with pytest.raises(ValueError, match="consistency"):
        model.train_step(_tensors(batch()))


def test_rows_and_resolved_labels_have_defaults(
    two_replicas: tf.distribute.Strategy,
) -> None:
    """A batch of three entries gives the bits of one that has all of them."""
    weights, scores = [], []
    for left_out in ((), ("row", "resolved_labels", "annotated_labels")):
        with two_replicas.scope():
            model = _model(_hashed)
        rows = _dataset(3, rows=2).map(
            lambda data, left_out=left_out: {
                key: value for key, value in data.items() if key not in left_out
            }
        )
        history = model.fit(rows, verbose=0, shuffle=False).history
        weights.append(model.student.get_weights())
        scores.append(history["student_dice"])
    for given, inferred in zip(*weights, strict=True):
        np.testing.assert_array_equal(given, inferred)
    assert scores[0] == scores[1]
    assert scores[0][0] > 0


def test_replicas_stay_equal(two_replicas: tf.distribute.Strategy) -> None:
    model = _fit(two_replicas)
    for network in (model.student, model.teacher):
        for variable in network.weights:
            copies = [v.numpy() for v in variable.value.values]
            np.testing.assert_array_equal(*copies)


def test_dropout_of_student_and_teacher_is_independent() -> None:
    # A clone would drop the same units: p_stu = p_tea and no consistency.
    network = conv_network("student", dropout=0.5)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    image = np.ones((1, 8, 8, 8, 1), "float32")

    def dropped(which: keras.Model, step: int, stream: int) -> np.ndarray:
        reseed_dropout(which, 7, step, stream)
        return which(image, training=True).numpy()

    first = dropped(network, 5, 0)
    assert not np.allclose(first, dropped(clone, 5, 1))
    assert not np.allclose(first, dropped(network, 6, 0))
    # A resumed step drops what it would have dropped.
    np.testing.assert_array_equal(first, dropped(network, 5, 0))


def test_dropout_of_replicas_is_independent(
    two_replicas: tf.distribute.Strategy,
) -> None:
    with two_replicas.scope():
        network = conv_network("student", dropout=0.5)

    @tf.function
    def drop() -> tf.Tensor:
        reseed_dropout(network, 7, tf.constant(5), 0)
        return network(tf.ones((1, 8, 8, 8, 1)), training=True)

    outputs = two_replicas.run(drop).values
    assert not np.allclose(outputs[0], outputs[1])


def test_steps_per_execution_is_refused() -> None:
    model = _model()
    model.compile(optimizer="sgd", steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution: expected 1"):
        model.fit(_dataset(2), verbose=0, shuffle=False)


def test_non_finite_loss_stops_and_names_the_step() -> None:
    model = _model(teacher=False, optimizer=keras.optimizers.SGD(1e38))
    with pytest.raises(NonFiniteLossError, match=r"step 2: the loss is"):
        model.fit(_dataset(3), verbose=0, shuffle=False)


def test_fit_with_keras_callbacks_and_evaluate(tmp_path) -> None:
    model = _model()
    path = tmp_path / "log.csv"
    history = model.fit(
        _dataset(3),
        validation_data=_dataset(2),
        epochs=2,
        verbose=0,
        shuffle=False,
        callbacks=[
            keras.callbacks.CSVLogger(path),
            keras.callbacks.EarlyStopping("val_loss"),
        ],
    )
    assert {"loss", "supervised", "student_dice", "teacher_dice",
            "consistency", "val_loss"} <= set(history.history)  # fmt: skip
    assert "val_supervised" in path.read_text(encoding="utf-8")
    scores = model.evaluate(_dataset(2), return_dict=True, verbose=0)
    assert scores["supervised"] == pytest.approx(
        history.history["val_supervised"][-1]
    )


def test_another_architecture_is_refused() -> None:
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="expected the student's architecture"):
        MeanTeacher(conv_network("student"), other, NAMES)
