"""Checks of traps 3, 4 and 6: what is computed on tensors.

Each takes an empty folder, uses the real code through its public doors and
fails with the words that test_traps.py expects of a mutant.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from fake_store import SPACE, FakeStore, scan, sets
from tiny_records import tiny_experiment
from training.networks import NAMES, batch, conv_network

from tfpartial.config import Experiment
from tfpartial.config.experiment import Predict, Preprocess
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.inference.predict import predict_scan
from tfpartial.inference.sliding_window import finished_boxes
from tfpartial.labels import Label, LabelSpace
from tfpartial.scans import Volume
from tfpartial.training import fit
from tfpartial.training.mean_teacher import MeanTeacher

PATCH = (8, 8, 8)


def _model(folder: Path, **consistency: float) -> MeanTeacher:
    """Build what fit would train, around the small network of the tests.

    From step 1 on the ramp has ended.
    """
    experiment = tiny_experiment(
        folder,
        folder / "records",
        label_space=[{"name": name} for name in NAMES[1:]],
        fit={
            "epochs": 10,
            "steps_per_epoch": 1,
            "consistency": {"ramp_start": 0.0, "ramp_end": 0.1} | consistency,
        },
    )
    keras.utils.set_random_seed(experiment.seed)

    def network_of(_: Experiment, name: str) -> keras.Model:
        return conv_network(name, dropout=0.5)

    with mock.patch.object(fit, "network_of", network_of):
        return fit.build_model(experiment)


def _batch(step: int) -> dict[str, tf.Tensor]:
    return {key: tf.constant(v) for key, v in batch(2, seed=step).items()}


def check_consistency_is_in_the_cost(folder: Path) -> None:
    """Trap 3: J = J_ace + w J_con with the w of the config; both move theta.

    Step 0 has w = 0; in step 1 student and teacher drop different units.
    """
    students = []
    for weight in (0.0, 10.0):
        model = _model(folder, weight=weight)
        model.train_step(_batch(0))
        model.reset_metrics()
        total = float(model.train_step(_batch(1)))
        logs = model.get_metrics_result()
        supervised = float(logs["supervised"])
        agreement = float(logs["consistency"])
        assert agreement > 1e-3, "student and teacher agree already"
        assert abs(total - supervised - weight * agreement) < 1e-4, (
            f"the cost lacks {weight} times the consistency term"
        )
        students.append(model.student.get_weights())
    moved = max(np.abs(a - b).max() for a, b in zip(*students, strict=True))
    assert moved > 1e-4, "the consistency term has no gradient"


def check_decay_is_that_of_the_config(folder: Path) -> None:
    """Trap 3: the teacher is the average that the config's decay makes."""
    for decay in (0.0, 0.25):
        model = _model(folder, ema_decay=decay)
        expected = [w.numpy() for w in model.student.trainable_variables]
        for step in range(3):
            model.train_step(_batch(step))
            alpha = min(decay, 1 - 1 / (step + 1))
            expected = [
                alpha * old + (1 - alpha) * new.numpy()
                for old, new in zip(
                    expected, model.student.trainable_variables, strict=True
                )
            ]
        found = [
            teacher.numpy()
            for student, teacher in zip(
                model.student.weights, model.teacher.weights, strict=True
            )
            if student.trainable
        ]
        off = max(
            np.abs(a - b).max() for a, b in zip(expected, found, strict=True)
        )
        assert off < 1e-6, f"the teacher's decay is not {decay}: off by {off}"


def check_augmentation_swaps_sides(folder: Path) -> None:
    """Trap 4: the mirrored left kidney is taught as a right one."""
    store = FakeStore(
        [scan(values=(1,))], sets(["kidney_left"]), ("kidney_left",)
    )
    # Exact copy, and the interpolating path with next to no turn.
    for degrees in (0.0, 1e-4):
        patches = next(
            build_training_dataset(
                {"a": store},
                space=SPACE,
                supervision={},
                weights={},
                label_share=1.0,
                patch_shape=PATCH,
                context_voxels=(0, 0, 0),
                augment={
                    "mirror_probability": 1.0,
                    "rotation_degrees": degrees,
                },
                hu_window=(-200.0, 200.0),
                seed=0,
                start_step=0,
                rows=range(2),
                readers=1,
            ).as_numpy_iterator()
        )
        assert (patches["labels"] == 1).any(), "no kidney was drawn"
        taught = [
            SPACE.names[i] for i in patches["candidates"][0, 1].nonzero()[0]
        ]
        assert taught == ["kidney_right"], f"left, mirrored, is still {taught}"
        annotated = patches["annotated_labels"][0].tolist()
        assert (
            annotated == SPACE.vector(["background", "kidney_right"]).tolist()
        ), "the annotated set is that of the unmirrored patch"


class KnowsSides(keras.Model):
    """What shines is left on the left (low I, RAS) and right on the right."""

    def call(self, image: Any, training: bool = False) -> Any:
        to_the_right = tf.linspace(-40.0, 40.0, image.shape[1])
        right = tf.nn.relu(image) * to_the_right[:, None, None, None]
        return tf.concat([tf.zeros_like(right) + 1.0, -right, right], axis=-1)


def check_test_time_mirroring_swaps_sides(folder: Path) -> None:
    """Trap 4: averaging with the mirrored scan must not mix the sides."""
    space = LabelSpace(
        (Label("left", mirror="right"), Label("right", mirror="left"))
    )
    expected = np.zeros((16, 8, 8), np.uint8)
    expected[2:5, 2:6, 2:6] = 1
    expected[11:14, 2:6, 2:6] = 2
    hu = np.where(expected > 0, 150, -50).astype(np.int16)
    for mirror in (False, True):
        found, _ = predict_scan(
            KnowsSides(),
            Volume(hu, np.diag([4.0, 4.0, 4.0, 1.0])),
            space,
            Preprocess(spacing_mm=(4.0, 4.0, 4.0)),
            Predict(mirror=mirror, window_shape=expected.shape),
        )
        assert (found == expected).all(), (
            f"sides are mixed up with mirror={mirror}: "
            f"{np.bincount(found.ravel()).tolist()} voxels of each label"
        )


def check_window_weights_sum_to_one(folder: Path) -> None:
    """Trap 6: a constant 1 comes back as exactly 1, small scans included."""

    def one(windows: np.ndarray) -> np.ndarray:
        return np.ones((*windows.shape[:4], 2), np.float32)

    shapes = [(20, 13, 11), (8, 6, 4), (3, 2, 1), (30, 4, 9)]
    for shape, overlap in itertools.product(shapes, (0.0, 0.5, 0.8)):
        image = np.zeros(shape, np.float32)
        for _, planes in finished_boxes(
            one, image, (8, 6, 4), overlap, 2, 3, -1.0
        ):
            assert (planes == 1.0).all(), (
                f"1 comes back as {planes.min()} to {planes.max()} in a scan "
                f"of {shape}, overlap {overlap}"
            )
