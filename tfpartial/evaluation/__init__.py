"""Predictions against references: per case and label, only where annotated.

In: label maps on the scans' own grids, the declared databases.
Out: one score per (case, label), their means with n, CSV and JSON.
Before: tfpartial.inference wrote the predictions, tfpartial.databases reads
    the references.
Also in: the scores of several systems. Out: the systems table with its
    significance.
After: tfpartial.reporting prints the tables.
"""

from tfpartial.evaluation.evaluate import evaluate_predictions
from tfpartial.evaluation.scores import Score, score_case
from tfpartial.evaluation.significance import Bootstrap
from tfpartial.evaluation.summary import LabelSummary, Summary, summarise
from tfpartial.evaluation.systems import Cost, SystemsTable
from tfpartial.evaluation.systems_build import build_systems_table
from tfpartial.evaluation.systems_file import (
    read_systems_table,
    write_systems_table,
)
from tfpartial.evaluation.table import (
    EvaluationTable,
    read_evaluation,
    write_evaluation,
)
from tfpartial.metrics.groups import Structure, structures_of
from tfpartial.metrics.overlap import dice, volume_ml
from tfpartial.metrics.surface import (
    SurfaceDistances,
    hd95_mm,
    nsd,
    surface_distances,
)

__all__ = [
    "Bootstrap",
    "Cost",
    "EvaluationTable",
    "LabelSummary",
    "Score",
    "Structure",
    "Summary",
    "SurfaceDistances",
    "SystemsTable",
    "build_systems_table",
    "dice",
    "evaluate_predictions",
    "hd95_mm",
    "nsd",
    "read_evaluation",
    "read_systems_table",
    "score_case",
    "structures_of",
    "summarise",
    "surface_distances",
    "volume_ml",
    "write_evaluation",
    "write_systems_table",
]
