"""Public data sets in their own formats -> folders that a database declares.

In: a download as it was published.
Out: NIfTI in a supported layout and a database YAML that describes it.
Before: a download. After: `databases`, through the declared layout.
"""

from tfpartial.importers.openkbp import import_openkbp

__all__ = ["import_openkbp"]
