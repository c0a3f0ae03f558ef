"""Trap 4: a mirrored scan keeps the names of its left and right organs."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpartial.data import augment
from tfpartial.inference import sliding_window
from tfpartial.labels import LabelSpace


def augmentation_without_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patch is mirrored, its label tables are not."""
    monkeypatch.setattr(
        augment, "mirror_labels", lambda table, permutation, mirrored: table
    )


def tta_without_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirrored prediction is mirrored back, its channels are not."""

    def probability_function(
        network: keras.Model, mirror_permutation: tuple[int, ...] | None = None
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        def probabilities(image: tf.Tensor) -> tf.Tensor:
            return tf.nn.softmax(network(image, training=False))

        def mean(image: tf.Tensor) -> tf.Tensor:
            turned = probabilities(image[:, ::-1])[:, ::-1]
            return (probabilities(image) + turned) / 2.0

        return probabilities if mirror_permutation is None else mean

    monkeypatch.setattr(
        sliding_window, "probability_function", probability_function
    )


def pairs_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label space knows its pairs, but no permutation says so."""
    monkeypatch.setattr(
        LabelSpace,
        "mirror_permutation",
        lambda self: np.arange(self.num_labels, dtype=np.int32),
    )
