"""The built-in data: pelvic CT phantoms of two protocols, as NIfTI.

In: the `phantom` section of an experiment.
Out: `<root>/supine` (six labels, one label map a case) and `<root>/prone`
(three of them, one mask per structure), plus `<root>/phantom.json`.
Before: nothing. After: `databases`, through the same layouts as real scans.
"""

from tfpartial.phantom.make import make_phantom

__all__ = ["make_phantom"]
