"""Pictures and tables that a person reads.

In: scans with their label maps, evaluation tables.
Out: overlay PNG, console and Markdown tables; every mean with its n.
Before: tfpartial.evaluation scored, tfpartial.inference segmented.
After: nothing; these are the results.
"""

from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.tables import (
    console_table,
    markdown_table,
    metrics_table,
)

__all__ = [
    "console_table",
    "markdown_table",
    "metrics_table",
    "write_overlay",
]
