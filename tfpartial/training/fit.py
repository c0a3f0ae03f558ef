"""fit(experiment): wires records, networks, strategy and callbacks."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import keras
import tensorflow as tf

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of, trained_databases
from tfpartial.config.training_identity import deciding_fields
from tfpartial.data.patch_reader import take_input_error
from tfpartial.files.folder_lock import folder_lock
from tfpartial.inference.sliding_window import context_of
from tfpartial.inference.windows import check_window
from tfpartial.records.store import RecordStore, open_records
from tfpartial.runs.checkpoint_files import newest_first
from tfpartial.runs.claim import claim_run_dir, hash_of_records
from tfpartial.runs.history import History
from tfpartial.runs.loaded_run import network_of
from tfpartial.runs.run_dir import RunDir
from tfpartial.training import schedules
from tfpartial.training.batches import build_batches, check_batch_size
from tfpartial.training.callbacks.checkpoints import Checkpoints
from tfpartial.training.callbacks.run_progress import RunProgress
from tfpartial.training.callbacks.tensorboard_log import TensorBoardLog
from tfpartial.training.callbacks.validation import (
    WholeScanValidation,
    read_validation_scans,
)
from tfpartial.training.checked_steps import NonFiniteLossError
from tfpartial.training.distributed import runtime
from tfpartial.training.distributed.peers import (
    check_agreement,
    find_workers,
    watch_peers,
)
from tfpartial.training.mean_teacher import MeanTeacher
from tfpartial.training.optimizers import build_optimizer
from tfpartial.training.records_check import check_records
from tfpartial.training.terms import terms_of

log = logging.getLogger(__name__)


def fit(
    experiment: Experiment, strategy_name: runtime.StrategyName = "mirrored"
) -> Path:
    """Train until the last epoch; go on where an earlier call stopped.

    If another worker is gone, the process ends with exit code 3.

    Args:
        experiment: everything declared; its records must have been built.
        strategy_name: "none", "mirrored" or "multi_worker".

    Returns:
        The run directory; `RunDir` says what lies in it.

    Raises:
        InputError: records missing, the run directory belongs to another
            experiment or is in use, its checkpoints are damaged, or the
            workers do not do the same.
        NonFiniteLossError: the loss of a step is not finite.
    """
    strategy = runtime.make_strategy(strategy_name, experiment.fit.devices)
    worker, _ = find_workers(strategy)
    run_dir = Path(experiment.run_dir)
    with watch_peers(strategy), ExitStack() as held:
        stores = open_stores(experiment)
        check_records(experiment, stores)
        check_batch_size(experiment, strategy.num_replicas_in_sync)
        options = experiment.fit
        runtime.set_up_determinism(
            experiment.seed, options.precision, options.deterministic
        )
        # Before the model: workers whose networks differ cannot even make
        # their variables together.
        told = {
            "the config": deciding_fields(experiment),
            "the records": hash_of_records(stores),
        }
        check_agreement(strategy, told)
        # Every check comes before the directory: a refused run leaves none.
        with strategy.scope():
            model = build_model(experiment)
        if worker == 0:
            held.enter_context(folder_lock(run_dir, "another fit"))
            description = runtime.describe_run(strategy_name, strategy)
            claim_run_dir(experiment, stores, run_dir, description)
        with strategy.scope():
            checkpoints = Checkpoints(
                model, run_dir, options.keep_checkpoints, worker
            )
            step = checkpoints.restore()
        check_agreement(strategy, {"the step that run_dir holds": step})
        _say_plan(experiment, strategy, stores, step)
        _train(experiment, strategy, stores, model, step, checkpoints)
    return run_dir


def _train(
    experiment: Experiment,
    strategy: tf.distribute.Strategy,
    stores: dict[str, RecordStore],
    model: MeanTeacher,
    step: int,
    checkpoints: Checkpoints,
) -> None:
    """Run Keras' loop from a step to the end of the run."""
    worker, addresses = find_workers(strategy)
    workers = max(1, len(addresses))
    run_dir, per_epoch = checkpoints.run_dir, experiment.fit.steps_per_epoch
    if step >= experiment.fit.epochs * per_epoch:
        log.info("%s: finished already; nothing to do.", run_dir)
        return
    context = context_of(model.student)
    dataset = build_batches(
        experiment, stores, strategy, workers, context, step
    )
    # What they write is on disk before the checkpoint that follows it.
    callbacks = [
        *_build_observers(experiment, stores, run_dir, worker),
        checkpoints,
    ]
    if worker == 0:
        callbacks.append(RunProgress(experiment.fit.epochs, per_epoch, step))
    try:
        model.fit(
            dataset,
            epochs=experiment.fit.epochs,
            initial_epoch=step // per_epoch,
            steps_per_epoch=per_epoch,
            callbacks=callbacks,
            shuffle=False,  # the data of a step is decided already
            verbose=0,
        )
    except NonFiniteLossError as error:
        advice = _after_non_finite(experiment, run_dir)
        raise NonFiniteLossError(f"{error} {advice}") from None
    except tf.errors.OpError:
        # What went wrong while reading a patch arrives as TensorFlow's error.
        fault = take_input_error()
        if fault is None:
            raise
        raise fault from None


def _after_non_finite(experiment: Experiment, run_dir: Path) -> str:
    """Return what to do: the same command would come to the same step."""
    options = experiment.fit
    smaller = "with a smaller fit.optimizer.learning_rate"
    if options.precision != "float32":
        smaller += " or fit.precision=float32"
    if newest_first(run_dir):
        return (
            f"The checkpoints and weights in {run_dir} are those of the last "
            f"whole epoch. Train again {smaller} into another run_dir."
        )
    return (
        f"No epoch was finished: there is no checkpoint. Remove {run_dir} or "
        f"choose another run_dir, and train again {smaller}."
    )


def open_stores(experiment: Experiment) -> dict[str, RecordStore]:
    """Open the records of every database with a positive weight.

    Raises:
        InputError: records are missing.
    """
    return open_records(experiment.records_dir, trained_databases(experiment))


def build_model(experiment: Experiment) -> MeanTeacher:
    """Build and compile student and teacher; call inside strategy.scope().

    Raises:
        InputError: the network does not exist or does not take the patch.
    """
    options = experiment.fit
    student = network_of(experiment, "student")
    check_window(
        options.patch_shape,
        context_of(student),
        getattr(student, "divisor", 1),
        "fit.patch_shape",
    )
    model = MeanTeacher(
        student,
        network_of(experiment, "teacher") if options.teacher else None,
        label_space_of(experiment).names,
        terms_of(options, student),
        ema_decay=options.consistency.ema_decay,
        clip_norm=options.optimizer.clip_norm,
        seed=experiment.seed,
    )
    optimizer = build_optimizer(options)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.student.trainable_variables)
    return model


def _build_observers(
    experiment: Experiment,
    stores: dict[str, RecordStore],
    run_dir: Path,
    worker: int,
) -> list[keras.callbacks.Callback]:
    """TensorBoard; on the first worker also whole-scan validation."""
    options = experiment.fit
    steps = options.epochs * options.steps_per_epoch
    files = RunDir(run_dir)
    board = TensorBoardLog(
        files.tensorboard if worker == 0 else None,
        steps_per_epoch=options.steps_per_epoch,
        global_batch_size=options.global_batch_size,
        learning_rate=schedules.learning_rate(
            options.optimizer, steps, options.steps_per_epoch
        ),
        history=History(files.metrics) if worker == 0 else None,
    )
    if worker > 0:
        return [board]
    scans = read_validation_scans(
        stores, options.validation.max_cases, options.validation.databases
    )
    if options.validation.max_cases and not scans:
        log.warning(
            "fit.validation.max_cases: expected up to %d validation scans, "
            "found none in the records: no whole scan is validated. Choose "
            "cases by build.splits.validation_cases, or set it to 0.",
            options.validation.max_cases,
        )
    validation = WholeScanValidation(
        scans,
        network_of(experiment, "validation"),
        board,
        run_dir,
        space=label_space_of(experiment),
        hu_window=experiment.preprocess.hu_window,
        window_shape=experiment.predict.window_shape or options.patch_shape,
        every_epochs=options.validation.every_epochs,
        images_every_epochs=options.images_every_epochs,
        steps_per_epoch=options.steps_per_epoch,
    )
    return [board, validation]


def _say_plan(
    experiment: Experiment,
    strategy: tf.distribute.Strategy,
    stores: dict[str, RecordStore],
    step: int,
) -> None:
    options = experiment.fit
    replicas = strategy.num_replicas_in_sync
    for name, store in stores.items():
        train = sum(case.split == "train" for case in store.cases)
        log.info("database %s: %d training cases", name, train)
    log.info(
        "global batch %d = %d replica(s) x %d patches of %s; %d epochs x %d "
        "steps; %s, seed %d",
        options.global_batch_size,
        replicas,
        options.global_batch_size // replicas,
        "x".join(map(str, options.patch_shape)),
        options.epochs,
        options.steps_per_epoch,
        options.precision,
        experiment.seed,
    )
    if step:
        log.info("resuming after step %d", step)
