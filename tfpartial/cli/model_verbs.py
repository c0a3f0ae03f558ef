"""Verbs that use a finished run: predict, evaluate, export."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from tfpartial.cli.quiet_start import start_tensorflow
from tfpartial.cli.verb import (
    PREDICTIONS_DIR,
    RUN_DIR,
    SPLITS,
    TRUST_CODE,
    WINDOW,
    experiment_of_run,
    flag,
    names_flag,
    path_flag,
    verb,
)
from tfpartial.errors import InputError
from tfpartial.files.system_errors import explain_refusals

log = logging.getLogger(__name__)


@verb(
    RUN_DIR,
    flag(
        "--inputs",
        "scans (NIfTI) or folders of scans; prone scans whose affine does not "
        "know it need --prone_turn",
        nargs="+",
        type=Path,
        metavar="PATH",
    ),
    flag(
        "--split",
        "instead of --inputs: the cases of a split of the run's databases",
        choices=SPLITS,
    ),
    names_flag("--databases", "with --split: only these"),
    flag(
        "--prone_turn",
        "turn scans by 180 degrees about the long axis",
        action="store_true",
    ),
    PREDICTIONS_DIR,
    TRUST_CODE,
    examples="tfpartial predict --run_dir runs/my --split test "
    "--predictions_dir out\n"
    "tfpartial predict --run_dir runs/my --inputs scans/ "
    "--predictions_dir out",
)
def predict(arguments: argparse.Namespace) -> None:
    """Segment scans with a finished run: NIfTI in, NIfTI label maps out."""
    if bool(arguments.inputs) == bool(arguments.split):
        raise InputError(
            "predict: expected either --inputs (scans or folders) or --split "
            "(train, validation or test), found "
            + ("both." if arguments.inputs else "neither.")
        )
    folder = arguments.predictions_dir
    experiment = experiment_of_run(arguments)
    start_tensorflow(arguments.verbose)
    from tfpartial.inference.predict import predict_files, predict_split
    from tfpartial.runs.loaded_run import load_run

    with explain_refusals("predicting", folder, WINDOW):
        if arguments.inputs:
            predict_files(
                arguments.inputs,
                folder,
                load_run(arguments.run_dir, trust_code=arguments.trust_code),
                experiment.predict,
                arguments.prone_turn,
            )
        else:
            predict_split(
                experiment, arguments.split, arguments.databases, folder
            )
    log.info("predictions: %s", folder)


@verb(
    RUN_DIR,
    path_flag("--export_dir", "folder to write it into", required=True),
    TRUST_CODE,
    examples="tfpartial export --run_dir runs/my --export_dir model\n"
    "tfpartial export --run_dir runs/my --export_dir model export.onnx=true",
)
def export(arguments: argparse.Namespace) -> None:
    """Export a run as a SavedModel that needs neither Keras nor tfpartial."""
    start_tensorflow(arguments.verbose)
    from tfpartial.export.savedmodel import export_run
    from tfpartial.runs.loaded_run import load_run

    with explain_refusals("exporting", arguments.export_dir, WINDOW):
        run = load_run(
            arguments.run_dir, arguments.overrides, arguments.trust_code
        )
        export_dir = export_run(
            run,
            run.experiment.predict.network,
            arguments.export_dir,
            onnx=run.experiment.export.onnx,
        )
    log.info("SavedModel: %s", export_dir)


@verb(
    RUN_DIR,
    PREDICTIONS_DIR,
    flag("--split", "default: test", default="test", choices=SPLITS),
    names_flag("--databases", "score only these"),
    path_flag("--out_dir", "default: the predictions folder"),
    examples="tfpartial evaluate --run_dir runs/my --predictions_dir out",
)
def evaluate(arguments: argparse.Namespace) -> None:
    """Score predictions against references, only where annotated.

    Writes CSV and JSON: Dice, volume, HD95 and normalised surface distance
    per case and label, and their means with the number of cases.
    """
    from tfpartial.evaluation.evaluate import evaluate_predictions
    from tfpartial.reporting.tables import metrics_table

    out_dir = arguments.out_dir or arguments.predictions_dir
    with explain_refusals("evaluating", out_dir, "evaluate.workers"):
        table = evaluate_predictions(
            experiment_of_run(arguments),
            arguments.predictions_dir,
            arguments.split,
            arguments.databases,
            out_dir,
        )
    print(metrics_table(table))
    log.info("metrics: %s", out_dir)
