"""Predictions against references: per case and label, only where annotated.

In: label maps on the scans' own grids, the declared databases.
Out: one score per (case, label), their means with n, CSV and JSON.
Before: tfpartial.inference wrote the predictions, tfpartial.databases reads
    the references.
After: tfpartial.reporting prints the tables, tfpartial.comparison compares
    systems by their scores.
"""

from tfpartial.evaluation.evaluate import evaluate_predictions
from tfpartial.evaluation.scores import Score, score_case
from tfpartial.evaluation.summary import LabelSummary, Summary, summarise
from tfpartial.evaluation.table import (
    EvaluationTable,
    read_evaluation,
    write_evaluation,
)

__all__ = [
    "EvaluationTable",
    "LabelSummary",
    "Score",
    "Summary",
    "evaluate_predictions",
    "read_evaluation",
    "score_case",
    "summarise",
    "write_evaluation",
]
