"""The whole path on the built-in phantom, stage by stage, ending in a table.

In: an `Experiment` with a `phantom` section.
Out: records, a run, predictions, metrics, a SavedModel, pictures.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from tfpartial.cli.builtin_data import ensure_phantom_records
from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import (
    Case,
    cases_of_split,
    read_case,
)
from tfpartial.databases.stored_values import stored_values
from tfpartial.errors import InputError
from tfpartial.evaluation.evaluate import evaluate_predictions
from tfpartial.evaluation.table import EvaluationTable
from tfpartial.export.check import segment_elsewhere
from tfpartial.export.files import check_export
from tfpartial.export.savedmodel import export_run
from tfpartial.inference.predict import predict_split
from tfpartial.metrics.groups import stored_names
from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.tables import dice_table
from tfpartial.runs.loaded_run import load_run
from tfpartial.runs.run_dir import RunDir
from tfpartial.scans import (
    read_labels,
    write_volume,
)
from tfpartial.scans.formats import label_map_path
from tfpartial.training.fit import fit

log = logging.getLogger(__name__)
DATABASE = "phantom_supine"


@dataclass(frozen=True)
class DemoPaths:
    """Where the demo leaves what it made, all below the run directory."""

    run_dir: Path

    @property
    def tensorboard(self) -> Path:
        """TensorBoard event files."""
        return RunDir(self.run_dir).tensorboard

    @property
    def saved_model(self) -> Path:
        """The export."""
        return self.run_dir / "export"

    def predictions(self, network: str) -> Path:
        """Label maps of one network."""
        return self.run_dir / "predictions" / network


def run_demo(experiment: Experiment) -> dict[str, EvaluationTable]:
    """Do everything that is not done yet, then print table and paths.

    Returns:
        Metrics on the held-out scans: "student" and "teacher".
    """
    paths = DemoPaths(Path(experiment.run_dir))
    _say(1, "phantom databases and their records")
    ensure_phantom_records(experiment)
    _say(2, "training under MirroredStrategy")
    fit(experiment, "mirrored")
    _say(3, "segmentation and evaluation of the held-out scans")
    tables = {}
    for network in (
        ("student", "teacher") if experiment.fit.teacher else ("student",)
    ):
        tables[network] = _predict_and_evaluate(
            experiment, network, paths.predictions(network)
        )
    _say(4, "export, and a scan segmented with the export alone")
    case, exported = _export_and_use(experiment, paths)
    overlay = _draw(experiment, case, exported)
    print(f"\nDice on {DATABASE}'s test scans (n = scans)\n")
    print(dice_table(tables, DATABASE))
    print(f"""
overlay picture  {overlay}
TensorBoard      tensorboard --logdir {paths.tensorboard}
SavedModel       {paths.saved_model}
predicted NIfTI  {exported}
metrics          {paths.predictions("student").parent}""")
    return tables


def _say(number: int, what: str) -> None:
    log.info("\n[%d/4] %s", number, what)


def _predict_and_evaluate(
    experiment: Experiment, network: str, predictions_dir: Path
) -> EvaluationTable:
    """Segment and score the test scans of all databases with a network."""
    options = experiment.predict.model_copy(update={"network": network})
    chosen = experiment.model_copy(update={"predict": options})
    predict_split(chosen, "test", None, predictions_dir)
    return evaluate_predictions(chosen, predictions_dir, "test")


def _first_test_case(experiment: Experiment) -> Case:
    return cases_of_split(
        experiment.databases,
        label_space_of(experiment),
        experiment.build.splits,
        "test",
    )[0]


def _export_and_use(
    experiment: Experiment, paths: DemoPaths
) -> tuple[Case, Path]:
    """Export, then segment one test scan where only TensorFlow is loaded."""
    case = _first_test_case(experiment)
    which = experiment.predict.network
    output = label_map_path(paths.run_dir / "exported", case.case_id)
    run = load_run(experiment.run_dir, trust_code=experiment.network.trust_code)
    if output.exists() and _exported_weights(
        paths.saved_model
    ) == run.weights_hash(which):
        log.info("%s: up to date", paths.saved_model)
        return case, output
    export_run(run, which, paths.saved_model)
    database = experiment.database_named(case.database)
    image, _ = read_case(case, database, run.space)
    scan = case.in_patient_frame(image)
    labels, _ = segment_elsewhere(paths.saved_model, scan)
    names = dict(enumerate(run.space.names))
    write_volume(output, replace(image, array=labels), names)
    return case, output


def _exported_weights(saved_model: Path) -> str | None:
    """Return the hash of the weights of an earlier export, if it is whole."""
    try:
        return check_export(saved_model).get("weights_sha256")
    except InputError:
        return None


def _draw(experiment: Experiment, case: Case, exported: Path) -> Path:
    """Draw CT, reference and exported prediction of one test scan."""
    space = label_space_of(experiment)
    database = experiment.database_named(case.database)
    image, reference = read_case(case, database, space)
    path = exported.with_name(f"{case.case_id}.png")
    write_overlay(
        path,
        case.in_patient_frame(image),
        reference.array,
        read_labels(exported).array,
        dict(enumerate(space.names)),
        f"{case.database} {case.case_id}: reference and exported model",
        reference_names=stored_names(
            stored_values(database, space).sets, space
        ),
    )
    return path
