"""Verbs that train: one run, on pseudo-labels, many systems, the demo."""

from __future__ import annotations

import argparse
import logging

from tfpartial.cli.builtin_data import ensure_phantom_records
from tfpartial.cli.quiet_start import start_tensorflow
from tfpartial.cli.verb import (
    CONFIG,
    RUN_DIR,
    TRUST_CODE,
    WINDOW,
    declared_experiment,
    flag,
    names_flag,
    path_flag,
    verb,
)
from tfpartial.config import load_experiment
from tfpartial.errors import InputError
from tfpartial.files.system_errors import explain_refusals
from tfpartial.runs.run_dir import RunDir

log = logging.getLogger(__name__)


@verb(
    CONFIG,
    flag(
        "--strategy",
        "none: one device; mirrored (default): all GPUs of this machine; "
        "multi_worker: of several machines, named by TF_CONFIG",
        default="mirrored",
        choices=("none", "mirrored", "multi_worker"),
    ),
    path_flag("--run_dir", "default: run_dir of the config"),
    TRUST_CODE,
    examples="tfpartial fit --config phantom\n"
    "tfpartial fit --config my.yaml --run_dir runs/second fit.epochs=50",
)
def fit(arguments: argparse.Namespace) -> None:
    """Train a student and its teacher from records.

    The same command again goes on after the last completed epoch. Without
    --config it trains on the built-in phantom, made on first use.
    """
    experiment = declared_experiment(arguments, run_dir=arguments.run_dir)
    start_tensorflow(arguments.verbose)
    from tfpartial.training.fit import fit

    with explain_refusals(
        "training",
        experiment.run_dir,
        "sampling.readers (fit.global_batch_size or fit.patch_shape: as "
        "another run)",
    ):
        ensure_phantom_records(experiment)
        run_dir = fit(experiment, arguments.strategy)
    log.info("run: %s", run_dir)
    log.info("watch it: tensorboard --logdir %s", RunDir(run_dir).tensorboard)


@verb(
    CONFIG,
    RUN_DIR,
    path_flag(
        "--target_records_dir",
        "folder to write the new records into",
        required=True,
    ),
    names_flag(
        "--databases", "only these; default: all that leave labels unannotated"
    ),
    TRUST_CODE,
    name="pseudo-label",
    examples="tfpartial pseudo-label --config my.yaml --run_dir runs/my "
    "--target_records_dir records/pseudo",
)
def pseudo_label(arguments: argparse.Namespace) -> None:
    """Fill in what databases do not annotate with a run's predictions.

    Makes new records from those of --config: in training scans, background
    becomes what the run of --run_dir predicts there, where the case does not
    annotate that label. Overrides of 'predict.' say how the run predicts.
    Train on the result with records_dir=<target> and
    sampling.supervision.<database>=naive. Interrupted, it goes on where it
    stopped.
    """
    experiment = load_experiment(arguments.config, arguments.overrides)
    start_tensorflow(arguments.verbose)
    from tfpartial.pseudo_labels.make import pseudo_label
    from tfpartial.runs.loaded_run import load_run

    target = arguments.target_records_dir
    with explain_refusals("making pseudo-labels", target, WINDOW):
        predict = [o for o in arguments.overrides if o.startswith("predict.")]
        records_dir = pseudo_label(
            experiment,
            load_run(arguments.run_dir, predict, arguments.trust_code),
            target,
            arguments.databases,
        )
    log.info("records: %s (read pseudo_labels.md)", records_dir)


@verb(
    path_flag(
        "--config",
        "a comparison: a YAML file or the name of a shipped one, such as "
        "paper/phantom",
        required=True,
    ),
    flag(
        "--jobs",
        "trainings at a time, which share the CPU cores; default 1",
        type=int,
        default=1,
        metavar="N",
    ),
    names_flag("--only", "train only these runs, such as ace_seed0", "RUN"),
    flag(
        "--no_training",
        "write the tables of what is finished",
        action="store_true",
    ),
    TRUST_CODE,
    overrides="any field of the comparison, such as seeds=[0], or\n"
    "experiment.field=value of the experiment that it shares",
    examples="tfpartial table --config paper/phantom --jobs 2\n"
    "tfpartial table --config paper/phantom --no_training",
)
def table(arguments: argparse.Namespace) -> None:
    """Train and compare the systems of the paper: tables, tests, figures.

    Every system x seed is a run of its own. The same command again skips what
    is finished and goes on with what is not; a run that fails is reported and
    the others go on. Prints the tables; writes them below output_dir/results.
    """
    from tfpartial.comparison.load import load_comparison

    comparison, experiment = load_comparison(
        arguments.config, arguments.overrides, arguments.trust_code
    )
    if arguments.jobs < 1:
        raise InputError(f"--jobs: expected 1 or more, found {arguments.jobs}.")
    from tfpartial.comparison.compare import compare

    with explain_refusals("comparing systems", comparison.output_dir, "--jobs"):
        folder = compare(
            comparison,
            experiment,
            jobs=arguments.jobs,
            only=arguments.only or [],
            train=not arguments.no_training,
        )
    log.info("tables: %s", folder)


@verb(
    CONFIG,
    TRUST_CODE,
    examples="tfpartial demo\ntfpartial demo run_dir=runs/mine",
)
def demo(arguments: argparse.Namespace) -> None:
    """Run the whole path on the built-in phantom and print what came out."""
    experiment = declared_experiment(arguments)
    start_tensorflow(arguments.verbose)
    from tfpartial.cli.demo import run_demo

    with explain_refusals(
        "making the demo", experiment.run_dir, "build.workers"
    ):
        run_demo(experiment)
