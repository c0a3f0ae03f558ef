"""Verbs that make, check and build data: configs, scans, records."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from tfpartial.cli.builtin_data import ensure_phantom
from tfpartial.cli.quiet_start import start_tensorflow
from tfpartial.cli.verb import (
    CONFIG,
    TRUST_CODE,
    WINDOW,
    declared_experiment,
    flag,
    names_flag,
    path_flag,
    verb,
)
from tfpartial.config import Experiment, load_experiment
from tfpartial.errors import Faults, InputError
from tfpartial.files.system_errors import explain_refusals

log = logging.getLogger(__name__)


@verb(
    flag("folder", "where to copy it", type=Path),
    overrides=None,
    examples="tfpartial init my_study",
)
def init(arguments: argparse.Namespace) -> None:
    """Copy a commented starting set: labels, databases, an experiment.

    Edit the lines marked EDIT (labels, where your scans lie, what their values
    mean), then call build and fit from that folder. Nothing is overwritten.
    """
    from tfpartial.cli.starting_set import copy_starting_set

    with explain_refusals("copying the starting set", arguments.folder):
        for path in copy_starting_set(arguments.folder):
            log.info("%s", path)
    log.info("edit the lines marked EDIT; then, in that folder:")
    log.info("tfpartial build --config experiment.yaml")


@verb(
    CONFIG,
    examples="tfpartial phantom\n"
    "tfpartial phantom phantom.path=scans phantom.supine_cases=4",
)
def phantom(arguments: argparse.Namespace) -> None:
    """Make the built-in phantom databases (NIfTI) that a config declares."""
    experiment = declared_experiment(arguments)
    path = experiment.phantom.path if experiment.phantom else "."
    with explain_refusals("making the phantom", path, "phantom.shape"):
        ensure_phantom(experiment)
    log.info("phantom: %s", path)


@verb(
    path_flag(
        "--source",
        "folder of the public repository's patients",
        required=True,
    ),
    path_flag(
        "--target",
        "folder to write a NIfTI folder per case into",
        required=True,
    ),
    name="import-openkbp",
    overrides=None,
    examples="tfpartial import-openkbp --source provided-data --target scans",
)
def import_openkbp(arguments: argparse.Namespace) -> None:
    """Convert the public OpenKBP repository's CSV folders to NIfTI."""
    from tfpartial.importers.openkbp import import_openkbp

    with explain_refusals("converting scans", arguments.target):
        import_openkbp(arguments.source, arguments.target)
    log.info("scans: %s", arguments.target)


@verb(
    CONFIG,
    path_flag("--records_dir", "default: records_dir of the config"),
    names_flag("--databases", "build only these"),
    examples="tfpartial build --config my.yaml\n"
    "tfpartial build --config my.yaml --databases clinic_a build.workers=8",
)
def build(arguments: argparse.Namespace) -> None:
    """Build TFRecords from the databases that a config declares.

    Checks everything first and reports all faults together. Interrupted, it
    goes on where it stopped; repeated, it does only what changed.
    """
    experiment = declared_experiment(
        arguments, records_dir=arguments.records_dir
    )
    start_tensorflow(arguments.verbose)
    from tfrecords_builder.build import build_records

    with explain_refusals(
        "building records", experiment.records_dir, "build.workers"
    ):
        ensure_phantom(experiment)
        records_dir = build_records(experiment, arguments.databases)
    log.info("records: %s (read manifest.md)", records_dir)


@verb(
    CONFIG,
    path_flag(
        "--out_dir",
        "folder to write index.html and audit.json into",
        required=True,
    ),
    names_flag("--databases", "audit only these"),
    path_flag(
        "--run_dir",
        "directory that fit made: segment all cases with it and compare",
    ),
    path_flag(
        "--predictions_dir",
        "compare with the label maps <database>/<case> in it",
    ),
    TRUST_CODE,
    examples="tfpartial audit --config my.yaml --out_dir audit\n"
    "tfpartial audit --config my.yaml --out_dir audit --run_dir runs/my",
)
def audit(arguments: argparse.Namespace) -> None:
    """Check the databases of a config: labels, sides, copies of scans.

    Writes one page (index.html, pictures inside) and audit.json: database x
    label, outliers, left and right, orientation, annotations that do not lie
    on their scan, the same scan twice and the leak between splits, licences.
    With --run_dir it segments all cases first (finished ones are kept) and
    shows where the run and the references disagree; with --predictions_dir it
    takes what is there. Findings are reasons to look: the exit code is 0.
    """
    if arguments.run_dir and arguments.predictions_dir:
        raise InputError(
            "audit: expected --run_dir or --predictions_dir, found both. The "
            "predictions of a run are made below the output folder."
        )
    experiment = load_experiment(arguments.config, arguments.overrides)
    from tfpartial.audit import audit, summary_lines

    out_dir = arguments.out_dir
    lower = f"build.workers or, with --run_dir, {WINDOW}"
    with explain_refusals("auditing", out_dir, lower):
        ensure_phantom(experiment)
        predictions_dir = arguments.predictions_dir
        if arguments.run_dir:
            predictions_dir = out_dir / "predictions"
            start_tensorflow(arguments.verbose)
            _segment_all(experiment, arguments, predictions_dir)
        result = audit(
            experiment, out_dir, arguments.databases, predictions_dir
        )
    print("\n".join(summary_lines(result)))
    log.info("page: %s", out_dir / "index.html")


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
    from tfpartial.databases import check_database_names, find_all_cases
    from tfpartial.inference.jobs import SegmentJob
    from tfpartial.inference.predict import segment_jobs
    from tfpartial.runs.loaded_run import load_run
    from tfpartial.scans.formats import label_map_path

    run = load_run(arguments.run_dir, trust_code=arguments.trust_code)
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
    cases, _ = find_all_cases(
        experiment.databases, space, experiment.build.splits
    )
    jobs = [
        SegmentJob(
            case.source,
            label_map_path(predictions_dir / name, case.case_id),
            case.prone_turn,
        )
        for name in arguments.databases or known
        for case in cases[name]
    ]
    segment_jobs(jobs, run, run.experiment.predict, Faults())
