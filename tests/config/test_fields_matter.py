"""No painted knobs: turning a field changes what its stage does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpartial.config import Experiment, Phantom
from tfpartial.databases.splits import split_of_patient
from tfpartial.evaluation import evaluate
from tfpartial.inference.predict import predict_scan
from tfpartial.labels import Label, LabelSpace
from tfpartial.phantom.make import make_case
from tfpartial.scans import Volume
from tfpartial.training import batches, fit
from tfpartial.training.distributed import runtime
from tfpartial.training.terms import ramp_weight

DATABASE = {
    "name": "base",
    "layout": "label_map_folder",
    "path": "base",
    "values": {"1": "left", "2": "right"},
    "licence": "none",
    "citation": "none",
}
BASE: dict[str, Any] = {
    "label_space": [
        {"name": "left", "mirror": "right"},
        {"name": "right", "mirror": "left"},
    ],
    "databases": [DATABASE],
    "records_dir": "records",
    "run_dir": "run",
    "phantom": {"shape": [12, 10, 8], "spacing_mm": [30, 30, 30]},
    "preprocess": {"spacing_mm": [4, 4, 4]},
    "network": {"filters": [2, 4]},
    "fit": {"epochs": 20, "optimizer": {"warmup_steps": 3}},
    "predict": {"window_shape": [4, 4, 4], "probabilities": True},
}
# Sections that are another model by their name.
VARIANTS: dict[str, dict[str, Any]] = {
    "deepmedic": {"network": {"name": "deepmedic", "preset": "small"}},
    "nesterov": {
        "fit": {
            "epochs": 20,
            "optimizer": {
                "name": "nesterov_rmsprop",
                "schedule": "halvings",
                "halve_at_epochs": [3, 9],
            },
        }
    },
}


def experiment_with(field: str = "", value: object = None) -> Experiment:
    """The base experiment with one dotted field set.

    A field `<base>:<field>` is set in another base experiment of `VARIANTS`.
    """
    base, _, field = field.rpartition(":")
    changed = BASE | VARIANTS.get(base, {})
    experiment = Experiment.model_validate(changed).model_dump(mode="json")
    *parents, leaf = field.split(".") if field else [""]
    place = experiment
    for parent in parents:
        place = place[parent]
    if field:
        place[leaf] = value
    return Experiment.model_validate(experiment)


def training_data(experiment: Experiment) -> object:
    """What the pipeline is asked for."""
    asked: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            batches,
            "build_training_dataset",
            lambda _, **given: asked.update(given),
        )
        batches.build_batches(experiment, {}, Any, 1, (0, 0, 0), 0)
    return asked


def schedules(experiment: Experiment) -> object:
    """Consistency weight and learning rate over 2000 steps."""
    options = experiment.fit
    rate = fit.schedules.learning_rate(
        options.optimizer,
        options.epochs * options.steps_per_epoch,
        options.steps_per_epoch,
    )
    steps = np.arange(0, 2000, 50)
    return [
        (float(ramp_weight(options, s)), float(rate(s))) for s in (1, 2, *steps)
    ]


def model(experiment: Experiment) -> object:
    """Weights, layers, optimizer, terms and what Mean Teacher was given."""
    given: dict[str, Any] = {}
    original = fit.MeanTeacher

    def remember(student: Any, teacher: Any, *rest: Any, **options: Any) -> Any:
        given.update(options, teacher=teacher is not None)
        return original(student, teacher, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "MeanTeacher", remember)
        made = fit.build_model(experiment)
    student = made.student
    voxel = {
        "labels": np.ones((1, 1, 1, 1), int),
        "candidates": np.eye(3, dtype=bool)[None],
    }
    logits = np.array([1.0, 2.0, 4.0], "f4").reshape(1, 1, 1, 1, 3)
    return (
        given,
        [
            (
                term.name,
                float(term.weight_at(10**6)),
                float(term.fn(voxel, logits, logits / 2).numerator),
            )
            for term in made.terms
        ],
        *(
            getattr(made.optimizer, name, None)
            for name in ("weight_decay", "rho", "momentum", "epsilon")
        ),
        [np.abs(w).sum().item() for w in student.get_weights()],
        [getattr(layer, "rate", 0) for layer in student.layers],
    )


class MarksLeftHalf(keras.layers.Layer):
    """Logits that depend on the place in the window and on the intensity."""

    def call(self, image: tf.Tensor) -> tf.Tensor:
        place = tf.cumsum(tf.ones_like(image), axis=1)
        return tf.concat([image, place, 0.3 * place * image], axis=-1)


def determinism(experiment: Experiment) -> object:
    """What is set before a run."""
    done: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tf.config.experimental,
            "enable_op_determinism",
            lambda: done.append("ops"),
        )
        patch.setattr(keras.utils, "set_random_seed", done.append)
        options = experiment.fit
        runtime.set_up_determinism(
            experiment.seed, options.precision, options.deterministic
        )
    return done


def prediction(experiment: Experiment) -> object:
    """Probabilities of a network that knows left from right."""
    image = keras.Input((None, None, None, 1))
    network = keras.Model(image, MarksLeftHalf()(image))
    hu = np.random.default_rng(0).normal(0, 300, (10, 6, 6)).astype(np.int16)
    space = LabelSpace(
        (Label("left", None, "right"), Label("right", None, "left"))
    )
    _, found = predict_scan(
        network, Volume(hu, np.diag([4.0, 4.0, 4.0, 1.0])), space,
        experiment.preprocess, experiment.predict, window_shape=(4, 4, 4),
    )  # fmt: skip
    return None if found is None else found.tolist()


def phantom(experiment: Experiment) -> object:
    """The voxels of one case."""
    assert isinstance(experiment.phantom, Phantom)
    scan, _ = make_case(experiment.phantom, "supine", 1)
    return scan.shape, scan.spacing_mm, scan.array.tolist()


def splits(experiment: Experiment) -> object:
    """The splits of 50 patients."""
    options = experiment.build.splits
    return [split_of_patient(f"p{n}", options) for n in range(50)]


def evaluation(experiment: Experiment) -> object:
    """What scoring is asked for."""
    asked: list[object] = []

    def remember(jobs: Any, workers: int) -> list:
        asked.extend([workers, [job.tolerance_mm for job in jobs]])
        return []

    def find(folder: Any, cases: Any, missing: str) -> list[None]:
        asked.append(missing)
        return [None]

    case = type("Case", (), {"database": "base"})()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "cases_of_split", lambda *_: [case])
        patch.setattr(evaluate, "find_predictions", find)
        patch.setattr(evaluate, "leftover_warnings", lambda *_: [])
        patch.setattr(evaluate, "_score_all", remember)
        patch.setattr(evaluate, "write_evaluation", lambda *_: None)
        evaluate.evaluate_predictions(experiment, "nowhere")
    return asked


CASES: list[tuple[Callable[[Experiment], object], str, object]] = [
    (training_data, "sampling.label_share", 0.1),
    (training_data, "sampling.balance", "values"),
    (training_data, "sampling.weights", {"base": 3.0}),
    (training_data, "sampling.supervision", {"base": "naive"}),
    (training_data, "sampling.readers", 3),
    (training_data, "augment.noise_sd", 0.7),
    (training_data, "augment.rotation_degrees", 3.0),
    (training_data, "augment.mirror_probability", 0.5),
    (training_data, "fit.patch_shape", [8, 8, 8]),
    (training_data, "fit.global_batch_size", 3),
    (training_data, "preprocess.hu_window", [-100, 100]),
    (training_data, "seed", 5),
    (schedules, "fit.consistency.weight", 0.5),
    (schedules, "fit.consistency.ramp_start", 0.2),
    (schedules, "fit.consistency.ramp_end", 0.9),
    (schedules, "fit.epochs", 30),
    (schedules, "fit.steps_per_epoch", 50),
    (schedules, "fit.optimizer.learning_rate", 1e-2),
    (schedules, "fit.optimizer.schedule", "polynomial"),
    (schedules, "fit.optimizer.warmup_steps", 9),
    (model, "fit.consistency.ema_decay", 0.5),
    (model, "fit.optimizer.weight_decay", 0.3),
    (model, "fit.optimizer.clip_norm", None),
    (model, "fit.teacher", False),
    (model, "fit.soft_dice", 0.5),
    (model, "fit.l1", 1e-3),
    (model, "fit.l2", 1e-3),
    (determinism, "fit.deterministic", False),
    (determinism, "seed", 5),
    (model, "nesterov:fit.optimizer.rho", 0.5),
    (model, "nesterov:fit.optimizer.momentum", 0.5),
    (model, "nesterov:fit.optimizer.epsilon", 0.5),
    (schedules, "nesterov:fit.optimizer.halve_at_epochs", [4, 9]),
    (schedules, "nesterov:fit.optimizer.learning_rate", 1e-2),
    (model, "network.filters", [2, 2]),
    (model, "network.blocks_per_level", 2),
    (model, "network.normalization", "batch"),
    (model, "network.dropout", [0.5]),
    (model, "network.downsampling", "max"),
    (model, "network.upsampling", "nearest"),
    (model, "deepmedic:network.preset", "wide"),
    (model, "deepmedic:network.widths", [2] * 8),
    (model, "deepmedic:network.fc_widths", [3, 3]),
    (model, "deepmedic:network.residual_layers", [4, 6]),
    (model, "deepmedic:network.fc_residual_layers", []),
    (model, "deepmedic:network.dropout", [0.5]),
    (model, "seed", 5),
    (prediction, "predict.mirror", True),
    (prediction, "predict.overlap", 0.0),
    (prediction, "predict.window_shape", [6, 6, 6]),
    (prediction, "predict.probabilities", False),
    (prediction, "preprocess.spacing_mm", [3, 4, 4]),
    (prediction, "preprocess.hu_window", [-50, 50]),
    (prediction, "preprocess.body_threshold_hu", 0.0),
    (phantom, "phantom.seed", 1),
    (phantom, "phantom.shape", [12, 10, 9]),
    (phantom, "phantom.spacing_mm", [30, 30, 31]),
    (splits, "build.splits.seed", 1),
    (splits, "build.splits.test_share", 0.5),
    (splits, "build.splits.validation_share", 0.5),
    (evaluation, "evaluate.tolerance_mm", 3.0),
    (evaluation, "evaluate.missing", "zero"),
    (evaluation, "evaluate.workers", 3),
]


@pytest.fixture(scope="module")
def usual() -> dict[tuple[Callable, str], object]:
    """What every probe says of the base experiment, by its variant."""
    pairs = {(probe, field.rpartition(":")[0]) for probe, field, _ in CASES}
    return {
        (probe, base): probe(experiment_with(f"{base}:run_dir", "run"))
        for probe, base in pairs
    }


@pytest.mark.parametrize(
    ("probe", "field", "value"),
    CASES,
    ids=[f"{probe.__name__}-{field}" for probe, field, _ in CASES],
)
def test_field_matters(
    usual: dict[tuple[Callable, str], object],
    probe: Callable[[Experiment], object],
    field: str,
    value: object,
) -> None:
    before = usual[probe, field.rpartition(":")[0]]
    assert probe(experiment_with(field, value)) != before


@pytest.mark.parametrize("probe", dict.fromkeys(p for p, _, _ in CASES))
def test_a_field_of_no_concern_changes_nothing(
    usual: dict[tuple[Callable, str], object],
    probe: Callable[[Experiment], object],
) -> None:
    assert probe(experiment_with("run_dir", "elsewhere")) == usual[probe, ""]
