"""What `fit` adds to the bare compiled step.

    python benchmarks/fit_overhead.py [--quick]

`fit` as a user calls it: records from disk, rotation, scaling, noise and
mirror, the Mean Teacher, Dice and losses of both networks, TensorBoard,
checkpoints, each loss checked. Against it a `tf.function` with the same two
networks, losses and updates and nothing else, over and over on one batch. An
epoch of one follows an epoch of the other, in one process. An epoch is short
here, so that what happens once per epoch weighs more than in a real run.
While the bare steps run, `fit` can prepare two batches ahead at most.
`processor_s` is the time of all threads per step.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import small_run
from measure import Target, ratio, report, worst_relative

# Relative, of weights after the steps that both models take on one batch.
SAME = 1e-5
REPEATS = 5
# Not a part of every epoch of a run, and a matter of its own.
WITHOUT_VALIDATION = "fit.validation.max_cases=0"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    quick = parser.parse_args(arguments).quick
    repeats, steps = (2, 3) if quick else (REPEATS, 20)
    sizes = {
        "network.filters": [4, 8] if quick else [16, 32, 64, 128],
        "network.dropout": [0.5, 0.5],
        "fit.patch_shape": [16] * 3 if quick else [64] * 3,
        "fit.epochs": repeats + 1,
        "fit.steps_per_epoch": steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        experiment = prepare(Path(folder), sizes)
        clock = measured_fit(experiment)
    # The first epoch traces both steps.
    seconds = {
        side: [s / steps for s in values[1:]]
        for side, values in clock.seconds.items()
    }
    shares = [w / s for w, s in zip(clock.waits[1:], clock.seconds["fit"][1:],
                                    strict=True)]  # fmt: skip
    found = [
        Target("time per step, fit / bare compiled step",
               ratio(seconds, "fit", "bare"), 1.10, at_least=False),
        Target("share of a step waiting for data",
               float(np.median(shares)), 0.02, at_least=False),
    ]  # fmt: skip
    checked = {"weights after the same steps": clock.difference}
    report(
        "fit_overhead", seconds, found, checked, sizes=sizes,
        end_of_epoch_s=float(np.median(clock.ends[1:])),
        load_average=os.getloadavg()[0],
        processor_s={side: float(np.median(values[1:])) / steps
                     for side, values in clock.processor.items()},
    )  # fmt: skip
    return int(not clock.difference <= SAME)


def prepare(folder: Path, sizes: dict[str, Any]) -> Any:
    """Make built-in scans and their records; return the experiment."""
    from tfpartial.config import load_experiment

    splits = folder / "splits.json"
    splits.write_text(json.dumps(small_run.SPLITS), encoding="utf-8")
    overrides = [
        f"phantom.path={folder / 'phantom'}",
        "phantom.supine_cases=4",
        "phantom.prone_cases=2",
        "preprocess.spacing_mm=[4, 4, 4]",
        f"build.splits.file={splits}",
        f"records_dir={folder / 'records'}",
        f"run_dir={folder / 'run'}",
        "augment.rotation_degrees=10",
        "augment.scale_range=0.1",
        WITHOUT_VALIDATION,
        *(f"{name}={value}" for name, value in sizes.items()),
    ]
    for script in ("make_phantom", "build_tfrecords"):
        subprocess.run(
            [sys.executable, small_run.REPOSITORY / "scripts" / f"{script}.py",
             "--config", str(small_run.CONFIG), *overrides],
            check=True, stdout=subprocess.DEVNULL, cwd=small_run.REPOSITORY,
        )  # fmt: skip
    return load_experiment(small_run.CONFIG, overrides)


class Clock:
    """Seconds of each epoch of `fit`, each after an epoch of bare steps.

    Attributes:
        seconds: side -> seconds of each epoch.
        processor: likewise, of all threads.
        waits: seconds that `fit` waited for data, of each epoch.
        ends: seconds from the last step to the end of the epoch.
        difference: of the weights after the same steps, relative.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"fit": [], "bare": []}
        self.processor: dict[str, list[float]] = {"fit": [], "bare": []}
        self.waits: list[float] = []
        self.ends: list[float] = []
        self.difference = float("nan")

    def around(self, callbacks: list, bare_epoch: Callable[[], None]) -> list:
        """Return the callbacks of `fit` with the clock's on both sides."""
        import keras

        def begin(epoch: int, logs: Any) -> None:
            started, worked = time.perf_counter(), time.process_time()
            bare_epoch()
            self._began, self._worked = time.perf_counter(), time.process_time()
            self.seconds["bare"].append(self._began - started)
            self.processor["bare"].append(self._worked - worked)

        def stepped(epoch: int, logs: Any) -> None:
            self._stepped = time.perf_counter()

        def end(epoch: int, logs: Any) -> None:
            ended = time.perf_counter()
            self.seconds["fit"].append(ended - self._began)
            self.processor["fit"].append(time.process_time() - self._worked)
            self.ends.append(ended - self._stepped)
            self.waits.append(last.model.wait_seconds)

        lambdas = keras.callbacks.LambdaCallback
        first = lambdas(on_epoch_begin=begin, on_epoch_end=stepped)
        last = lambdas(on_epoch_end=end)
        return [first, *callbacks, last]


def measured_fit(experiment: Any) -> Clock:
    """Run `fit` with bare steps between its epochs."""
    from tfpartial.training.fit import build_model, fit
    from tfpartial.training.mean_teacher import MeanTeacher

    clock, plain_fit = Clock(), MeanTeacher.fit
    steps = experiment.fit.steps_per_epoch

    def fit_between(model: Any, dataset: Any, **options: Any) -> Any:
        batch = next(iter(dataset))
        bare_model = build_model(experiment)
        bare = bare_step(bare_model, experiment, batch)
        clock.difference = difference(
            bare_model, build_model(experiment), bare, batch, steps
        )

        def bare_epoch() -> None:
            for _ in range(steps):
                bare().numpy()

        callbacks = clock.around(options.pop("callbacks"), bare_epoch)
        return plain_fit(model, dataset, callbacks=callbacks, **options)

    # Standard output is for the line of JSON.
    with (
        contextlib.redirect_stdout(sys.stderr),
        mock.patch.object(MeanTeacher, "fit", fit_between),
    ):
        fit(experiment)
    return clock


def bare_step(model: Any, experiment: Any, batch: Any) -> Callable[[], Any]:
    """Return the compiled step: two networks, losses, updates; no more."""
    import tensorflow as tf

    from tfpartial import losses
    from tfpartial.models import dropout_keys
    from tfpartial.training.ema import update_teacher, warmed_decay
    from tfpartial.training.terms import ramp_weight

    student, teacher, optimizer = model.student, model.teacher, model.optimizer
    labels, candidates = batch["labels"], batch["candidates"]

    def logits_of(network: Any, stream: int) -> Any:
        step, seed = optimizer.iterations, experiment.seed
        with dropout_keys(seed, step, batch["row"], stream):
            return network(batch["image"], training=True)

    @tf.function
    def step() -> Any:
        completed = tf.identity(optimizer.iterations)
        target = logits_of(teacher, 1)
        with tf.GradientTape() as tape:
            logits = logits_of(student, 0)
            supervised = losses.weighted_sum(
                losses.candidate_cross_entropy(labels, logits, candidates),
                losses.informative_voxels(labels, candidates),
            )
            agreement = tf.reduce_mean(losses.consistency(logits, target))
            weight = ramp_weight(experiment.fit, completed)
            loss = losses.scalar(supervised) + weight * agreement
        variables = student.trainable_variables
        gradients = tape.gradient(loss, variables)
        if model.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, model.clip_norm)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        decay = warmed_decay(model.ema_decay, completed)
        update_teacher(student, teacher, decay)
        return loss

    return step


def difference(
    bare_model: Any,
    model: Any,
    bare: Callable[[], Any],
    batch: Any,
    first_step: int,
) -> float:
    """Return how far two models are apart after the same two steps.

    The largest over the weights of max|difference| / max|weight|. The steps
    are counted from a second epoch: in the first the consistency has no weight.
    """
    for each in (bare_model, model):
        each.optimizer.iterations.assign(first_step)
    step = model.make_train_function()
    for _ in range(2):
        bare()
        step(itertools.repeat(batch))
    pairs = [
        *zip(bare_model.student.get_weights(), model.student.get_weights(),
             strict=True),
        *zip(bare_model.teacher.get_weights(), model.teacher.get_weights(),
             strict=True),
    ]  # fmt: skip
    return worst_relative(pairs)


if __name__ == "__main__":
    sys.exit(main())
