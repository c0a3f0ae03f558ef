"""Pictures and tables that a person reads.

In: scans with their label maps, evaluation tables, the systems table.
Out: overlay PNG, figures of systems and curves; console, Markdown, LaTeX and
    CSV tables; every mean with its n.
Before: tfpartial.evaluation scored, tfpartial.inference segmented.
After: nothing; these are the results.
"""

from tfpartial.reporting.curves import write_learning_curves
from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.systems_comparisons import comparisons_table
from tfpartial.reporting.systems_figure import ScanRow, write_systems_figure
from tfpartial.reporting.systems_output import write_systems_tables
from tfpartial.reporting.systems_table import systems_table
from tfpartial.reporting.tables import (
    console_table,
    markdown_table,
    metrics_table,
)

__all__ = [
    "ScanRow",
    "comparisons_table",
    "console_table",
    "markdown_table",
    "metrics_table",
    "systems_table",
    "write_learning_curves",
    "write_overlay",
    "write_systems_figure",
    "write_systems_tables",
]
