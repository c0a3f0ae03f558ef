"""Calls of single stages that need more than one line of wiring."""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path

from tfpartial.config import Experiment, load_experiment
from tfpartial.errors import Faults, InputError
from tfpartial.phantom import make_phantom

log = logging.getLogger(__name__)


def ensure_phantom(experiment: Experiment) -> None:
    """Make the built-in data that a config declares, unless it is there."""
    if experiment.phantom is not None:
        make_phantom(experiment.phantom, Path(experiment.phantom.path))


def ensure_phantom_records(experiment: Experiment) -> None:
    """Make the built-in data and its records; nothing for other data.

    Of several workers only the first builds: the others wait for it when
    they join the cluster.
    """
    if experiment.phantom is None or worker_index() > 0:
        return
    from tfrecords_builder.build import build_records
    from tfrecords_builder.records_folder import PSEUDO_LABELLED, content_of

    if content_of(Path(experiment.records_dir)) == PSEUDO_LABELLED:
        return  # made from built-in records by another verb: train on them
    ensure_phantom(experiment)
    build_records(experiment)


def worker_index() -> int:
    """Return this process' index in TF_CONFIG; 0 without one."""
    try:
        return int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    except (KeyError, ValueError, TypeError):
        return 0


def run_prediction(arguments: argparse.Namespace) -> None:
    """Segment the files given, or a split of the run's databases.

    Raises:
        InputError: neither or both of --inputs and --split.
    """
    if bool(arguments.inputs) == bool(arguments.split):
        raise InputError(
            "predict: expected either --inputs (scans or folders) or --split "
            "(train, validation or test), found "
            + ("both." if arguments.inputs else "neither.")
        )
    from tfpartial.inference.predict import predict_files, predict_split
    from tfpartial.runs.loaded_run import load_run

    experiment = experiment_of_run(arguments)
    if arguments.inputs:
        predict_files(
            arguments.inputs,
            arguments.predictions_dir,
            load_run(arguments.run_dir),
            experiment.predict,
            arguments.prone_turn,
        )
    else:
        predict_split(
            experiment,
            arguments.split,
            arguments.databases,
            arguments.predictions_dir,
        )


def run_pseudo_labelling(arguments: argparse.Namespace) -> Path:
    """Make records with pseudo-labels; `predict.` overrides go to the run."""
    from tfpartial.pseudo_labels.make import pseudo_label
    from tfpartial.runs.loaded_run import LoadedRun, load_run

    experiment = load_experiment(arguments.config, arguments.overrides)
    loaded = load_run(arguments.run_dir)
    predicting = load_experiment(
        loaded.run_dir / "config.yaml",
        [text for text in arguments.overrides if text.startswith("predict.")],
    )
    return pseudo_label(
        experiment,
        LoadedRun(predicting, loaded.space, loaded.run_dir),
        arguments.target_records_dir,
        arguments.databases,
    )


def run_export(arguments: argparse.Namespace) -> Path:
    """Write and verify the SavedModel of a run."""
    from tfpartial.export.savedmodel import export_run
    from tfpartial.runs.loaded_run import LoadedRun, load_run

    loaded = load_run(arguments.run_dir)
    experiment = experiment_of_run(arguments)
    return export_run(
        LoadedRun(experiment, loaded.space, loaded.run_dir),
        experiment.predict.network,
        arguments.export_dir,
        onnx=experiment.export.onnx,
    )


def run_evaluation(arguments: argparse.Namespace) -> None:
    """Score a folder of predictions and print the table."""
    from tfpartial.evaluation.evaluate import evaluate_predictions
    from tfpartial.reporting.tables import metrics_table

    out_dir = arguments.out_dir or arguments.predictions_dir
    table = evaluate_predictions(
        experiment_of_run(arguments),
        arguments.predictions_dir,
        arguments.split,
        arguments.databases,
        out_dir,
    )
    print(metrics_table(table, style="console"))
    log.info("metrics: %s", out_dir)


def run_audit(arguments: argparse.Namespace) -> None:
    """Audit the databases of a config, maybe with a run's predictions.

    Raises:
        InputError: both --run_dir and --predictions_dir.
    """
    if arguments.run_dir and arguments.predictions_dir:
        raise InputError(
            "audit: expected --run_dir or --predictions_dir, found both. The "
            "predictions of a run are made below the output folder."
        )
    experiment = load_experiment(arguments.config, arguments.overrides)
    from tfpartial.audit import audit, summary_lines

    ensure_phantom(experiment)
    predictions_dir = arguments.predictions_dir
    if arguments.run_dir:
        predictions_dir = arguments.out_dir / "predictions"
        _segment_all(experiment, arguments, predictions_dir)
    result = audit(
        experiment, arguments.out_dir, arguments.databases, predictions_dir
    )
    print("\n".join(summary_lines(result)))
    log.info("page: %s", arguments.out_dir / "index.html")


def _segment_all(
    experiment: Experiment,
    arguments: argparse.Namespace,
    predictions_dir: Path,
) -> None:
    """Segment every case of the databases with a run, as that run predicts.

    Scans that cannot be segmented are logged; the audit then says why.

    Raises:
        InputError: no run, or one of another label space.
    """
    from tfpartial.config import label_space_of
    from tfpartial.databases import check_database_names, declared_cases
    from tfpartial.inference.predict import segment_jobs
    from tfpartial.inference.provenance import Job
    from tfpartial.runs.loaded_run import load_run
    from tfpartial.scans.formats import label_map_path

    run = load_run(arguments.run_dir)
    space = label_space_of(experiment)
    if run.space.names != space.names:
        raise InputError(
            f"{arguments.run_dir}: expected a run of the label space "
            f"{', '.join(space.names[1:])}, found one of "
            f"{', '.join(run.space.names[1:])}. Audit with the config of the "
            f"run, or choose another run."
        )
    known = [database.name for database in experiment.databases]
    check_database_names(arguments.databases or (), known)
    found, _ = declared_cases(
        experiment.databases, space, experiment.build.splits
    )
    jobs = [
        Job(
            case.image_path,
            label_map_path(predictions_dir / name, case.case_id),
            case.prone_turn,
        )
        for name in arguments.databases or known
        for case in found[name]
    ]
    segment_jobs(jobs, run, run.experiment.predict, Faults())


def experiment_of_run(arguments: argparse.Namespace) -> Experiment:
    """Load what a run declared, with overrides, wherever it lies now."""
    config = arguments.run_dir / "config.yaml"
    if not config.is_file():
        raise InputError(
            f"{arguments.run_dir}: expected a run folder with config.yaml, "
            f"found none. Run fit first, or name the run_dir of a fit."
        )
    return load_experiment(
        config,
        arguments.overrides,
        replaced={"run_dir": str(arguments.run_dir)},
    )
