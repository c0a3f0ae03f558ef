"""What each verb does: read flags and config, make one call."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from tfpartial.config import Experiment, load_experiment
from tfpartial.errors import InputError
from tfpartial.files.system_errors import explained

log = logging.getLogger(__name__)
# What to lower where a network that segments a scan runs out of memory.
_WINDOW = "predict.windows_per_batch or predict.window_shape"
Verb = Callable[[argparse.Namespace], None]


def make_phantom(arguments: argparse.Namespace) -> None:
    """Make the built-in phantom databases (NIfTI) that a config declares."""
    from tfpartial.cli.stages import ensure_phantom

    experiment = _experiment(arguments)
    path = experiment.phantom.path if experiment.phantom else "."
    with explained("making the phantom", path, "phantom.shape"):
        ensure_phantom(experiment)


def import_openkbp(arguments: argparse.Namespace) -> None:
    """Convert the public OpenKBP repository's CSV folders to NIfTI."""
    from tfpartial.importers.openkbp import import_openkbp

    with explained("converting scans", arguments.target):
        import_openkbp(arguments.source, arguments.target)
    log.info("scans: %s", arguments.target)


def build(arguments: argparse.Namespace) -> None:
    """Build TFRecords from the databases that a config declares.

    Checks everything first and reports all faults together. Interrupted, it
    goes on where it stopped; repeated, it does only what changed.
    """
    from tfpartial.cli.stages import ensure_phantom
    from tfrecords_builder.build import build_records

    experiment = _experiment(arguments, records_dir=arguments.records_dir)
    with explained("building records", experiment.records_dir, "build.workers"):
        ensure_phantom(experiment)
        records_dir = build_records(experiment, arguments.databases)
    log.info("records: %s (read manifest.md)", records_dir)


def fit(arguments: argparse.Namespace) -> None:
    """Train a student and its teacher from records.

    The same command again goes on after the last completed epoch. Without
    --config it trains on the built-in phantom, made on first use.
    """
    experiment = _experiment(arguments, run_dir=arguments.run_dir)
    from tfpartial.cli.stages import ensure_phantom_records
    from tfpartial.training.fit import fit as train

    with explained(
        "training",
        experiment.run_dir,
        "sampling.readers (fit.global_batch_size or fit.patch_shape: as "
        "another run)",
    ):
        ensure_phantom_records(experiment)
        run_dir = train(experiment, arguments.strategy)
    log.info("run: %s", run_dir)
    log.info("watch it: tensorboard --logdir %s", run_dir / "tensorboard")


def pseudo_label(arguments: argparse.Namespace) -> None:
    """Fill in what databases do not annotate with a run's predictions.

    Makes new records from those of --config: in training scans, background
    becomes what the run of --run_dir predicts there, where the case does not
    annotate that label. Overrides of 'predict.' say how the run predicts.
    Train on the result with records_dir=<target> and
    sampling.supervision.<database>=naive. Interrupted, it goes on where it
    stopped.
    """
    from tfpartial.cli.stages import run_pseudo_labelling

    with explained(
        "making pseudo-labels", arguments.target_records_dir, _WINDOW
    ):
        records_dir = run_pseudo_labelling(arguments)
    log.info("records: %s (read pseudo_labels.md)", records_dir)


def predict(arguments: argparse.Namespace) -> None:
    """Segment scans with a finished run: NIfTI in, NIfTI label maps out."""
    from tfpartial.cli.stages import run_prediction

    with explained("predicting", arguments.predictions_dir, _WINDOW):
        run_prediction(arguments)
    log.info("predictions: %s", arguments.predictions_dir)


def export(arguments: argparse.Namespace) -> None:
    """Export a run as a SavedModel that needs neither Keras nor tfpartial."""
    from tfpartial.cli.stages import run_export

    with explained("exporting", arguments.export_dir, _WINDOW):
        export_dir = run_export(arguments)
    log.info("SavedModel: %s", export_dir)


def evaluate(arguments: argparse.Namespace) -> None:
    """Score predictions against references, only where annotated.

    Writes CSV and JSON: Dice, volume, HD95 and normalised surface distance
    per case and label, and their means with the number of cases.
    """
    from tfpartial.cli.stages import run_evaluation

    folder = arguments.out_dir or arguments.predictions_dir
    with explained("evaluating", folder, "evaluate.workers"):
        run_evaluation(arguments)


def table(arguments: argparse.Namespace) -> None:
    """Train and compare the systems of the paper: tables, tests, figures.

    Every system x seed is a run of its own. The same command again skips what
    is finished and goes on with what is not; a run that fails is reported and
    the others go on. Prints the tables; writes them below output_dir/results.
    """
    from tfpartial.comparison.load import load_comparison

    comparison, experiment = load_comparison(
        arguments.config, arguments.overrides
    )
    if arguments.jobs < 1:
        raise InputError(f"--jobs: expected 1 or more, found {arguments.jobs}.")
    from tfpartial.comparison.compare import compare

    with explained("comparing systems", comparison.output_dir, "--jobs"):
        folder = compare(
            comparison,
            experiment,
            jobs=arguments.jobs,
            only=arguments.only,
            train=not arguments.no_training,
        )
    log.info("tables: %s", folder)


def audit(arguments: argparse.Namespace) -> None:
    """Check the databases of a config: labels, sides, copies of scans.

    Writes one page (index.html, pictures inside) and audit.json: database x
    label, outliers, left and right, orientation, annotations that do not lie
    on their scan, the same scan twice and the leak between splits, licences.
    With --run_dir it segments all cases first (finished ones are kept) and
    shows where the run and the references disagree; with --predictions_dir it
    takes what is there. Findings are reasons to look: the exit code is 0.
    """
    from tfpartial.cli.stages import run_audit

    lower = f"build.workers or, with --run_dir, {_WINDOW}"
    with explained("auditing", arguments.out_dir, lower):
        run_audit(arguments)


def demo(arguments: argparse.Namespace) -> None:
    """Run the whole path on the built-in phantom and print what came out."""
    experiment = load_experiment(arguments.config, arguments.overrides)
    from tfpartial.cli.demo import run_demo

    with explained("making the demo", experiment.run_dir, "build.workers"):
        run_demo(experiment)


def _experiment(
    arguments: argparse.Namespace, **replaced: Path | None
) -> Experiment:
    """Load the config of a verb; flags replace the field of their name."""
    return load_experiment(
        arguments.config,
        arguments.overrides,
        replaced={
            field: str(value) for field, value in replaced.items() if value
        },
    )
