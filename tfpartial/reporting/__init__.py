"""Pictures and tables of one split that a person reads.

In: scans with their label maps, evaluation tables.
Out: overlay PNG; console and Markdown tables; every mean with its n.
Before: tfpartial.evaluation scored, tfpartial.inference segmented.
After: tfpartial.audit and tfpartial.comparison draw and write with the same
    parts.
"""

from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.tables import dice_table, metrics_table

__all__ = ["dice_table", "metrics_table", "write_overlay"]
