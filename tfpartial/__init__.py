"""tfpartial: one 3D segmentation network from partially annotated databases.

In: databases of CT scans (NIfTI) that annotate different labels, a config.
Out: one network for the union of all labels, as SavedModel, with its metrics.
"""

__version__ = "0.1.0"
