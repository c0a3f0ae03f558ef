"""What `scaling.py` measures: patches, losses and steps of any size.

In: sizes. Out: callables to time, and their twins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpartial.data.patch_reader import PatchReader
from tfpartial.data.patches import PatchSampler
from tfpartial.labels import Label, LabelSpace
from tfpartial.losses import candidate_cross_entropy
from tfpartial.losses.reduction import scalar, weighted_sum
from tfpartial.models import build_network
from tfpartial.records.store import RecordStore
from tfpartial.training.mean_teacher import MeanTeacher

Call = Callable[[], object]
WINDOW = (-200.0, 200.0)
BATCH = 2


def patches(records: Sequence[Path], size: int, count: int) -> Call:
    """Return what makes `count` patches of size^3, augmentation included.

    Args:
        records: records folders, each of one database "scans".
        size: voxels per axis.
        count: patches of a call; each call makes the same ones.
    """
    stores = {
        f"d{number}": RecordStore(folder, "scans")
        for number, folder in enumerate(records)
    }
    names = next(iter(stores.values())).label_names[1:]
    shape = (size,) * 3
    options = {
        "intensity_shift_sd": 0.1,
        "intensity_scale_sd": 0.1,
        "noise_sd": 0.05,
        "rotation_degrees": 10.0,
        "scale_range": 0.1,
    }
    common: dict[str, Any] = {
        "supervision": {}, "patch_shape": shape, "seed": 0,
    }  # fmt: skip
    sampler = PatchSampler(stores, weights={}, label_share=0.7, **common)
    reader = PatchReader(
        sampler, stores, space=LabelSpace([Label(name) for name in names]),
        context_voxels=(0, 0, 0), augment=options, hu_window=WINDOW, **common,
    )  # fmt: skip
    number = tf.TensorSpec([], tf.int64)
    load = tf.function(reader.load, input_signature=[number, number])
    rows = [divmod(n, BATCH) for n in range(count)]
    tensors = [tuple(map(tf.constant, map(np.int64, row))) for row in rows]
    return lambda: [load(*row) for row in tensors]


class Loss:
    """The supervised loss of one batch with L labels, and its gradient."""

    def __init__(self, num_labels: int, size: int) -> None:
        random = np.random.default_rng(num_labels)
        shape = (1, size, size, size)
        self.logits = random.normal(size=(*shape, num_labels)).astype("float32")
        self.labels = random.integers(0, num_labels, shape).astype(np.uint8)
        # Half of the labels are not annotated: background may be any of them.
        self.candidates = np.eye(num_labels, dtype=bool)[None].copy()
        self.candidates[0, 0, num_labels // 2 :] = True
        tensors = [tf.constant(self.labels), tf.constant(self.candidates)]
        logits = tf.constant(self.logits)
        self._ours = tf.function(lambda: _loss(logits, *tensors))
        self._plain = tf.function(lambda: _plain_loss(logits, tensors[0]))

    def ours(self) -> object:
        """Cross entropy against candidate sets, with its gradient."""
        return self._ours()[1].numpy()

    def plain(self) -> object:
        """Return TensorFlow's own cross entropy, with its gradient."""
        return self._plain()[1].numpy()

    def off_twin(self) -> float:
        """Return the relative difference to float64 numpy."""
        odds = np.exp(self.logits.astype(np.float64))
        allowed = self.candidates[0][self.labels]
        inside = np.where(allowed, odds, 0.0).sum(-1)
        expected = np.mean(np.log(odds.sum(-1)) - np.log(inside))
        return abs(float(self._ours()[0]) / expected - 1)


def _loss(
    logits: tf.Tensor, labels: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = candidate_cross_entropy(labels, logits, candidates)
        loss = scalar(weighted_sum(losses, tf.ones_like(losses)))
    # The sum makes it wait, and copies nothing.
    return loss, tf.reduce_sum(tape.gradient(loss, logits))


def _plain_loss(
    logits: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.cast(labels, tf.int32), logits
            )
        )
    return loss, tf.reduce_sum(tape.gradient(loss, logits))


class Step:
    """One training step, student and teacher, on one or two replicas."""

    def __init__(
        self, size: int, replicas: int, filters: Sequence[int]
    ) -> None:
        self._strategy = (
            tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
            if replicas == 2
            else tf.distribute.get_strategy()
        )
        with self._strategy.scope():
            self._model = MeanTeacher(
                *(_network(filters, name) for name in ("student", "teacher")),
                ("background", "a", "b"),
            )
            self._model.compile(
                optimizer=keras.optimizers.SGD(0.1), jit_compile=False
            )
            self._model.optimizer.build(self._model.student.trainable_variables)
        data = tf.data.Dataset.from_tensors(_batch(size)).repeat()
        options = tf.data.Options()
        # One element of two rows: it is divided among the replicas.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        self._elements = iter(
            self._strategy.experimental_distribute_dataset(
                data.with_options(options)
            )
        )
        self._function = self._model.make_train_function()

    def __call__(self) -> object:
        return self._function(self._elements)

    def weights(self) -> list[np.ndarray]:
        """Return the weights of student and teacher."""
        return [
            *self._model.student.get_weights(),
            *self._model.teacher.get_weights(),
        ]


def _network(filters: Sequence[int], name: str) -> keras.Model:
    return build_network(
        "unet3d", num_labels=3, seed=1, model_name=name, filters=list(filters),
        blocks_per_level=2, normalization="group",
        dropout=[0.5] * len(filters),
    )  # fmt: skip


def _batch(size: int) -> dict[str, np.ndarray]:
    """Return two rows of noise; the second annotates nothing but background."""
    random = np.random.default_rng(0)
    shape = (BATCH, size, size, size)
    candidates = np.eye(3, dtype=bool)[None].repeat(BATCH, 0)
    candidates[1, 0] = True
    return {
        "image": random.normal(size=(*shape, 1)).astype("float32"),
        "labels": random.integers(0, 3, shape).astype(np.uint8),
        "candidates": candidates,
        "annotated_labels": np.ones((BATCH, 3), bool),
        "resolved_labels": np.ones((BATCH, 3), bool),
        "row": np.arange(BATCH, dtype=np.int32),
    }
