"""tfpartial: one 3D segmentation network from partially annotated databases.

In: databases of CT scans (NIfTI) that annotate different labels, a config.
Out: one network for the union of all labels, as SavedModel, with its metrics.

`import tfpartial as tp` offers the names of `__init__.pyi` (docs/api.md). Each
is imported when it is first used: TensorFlow only with what needs it.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
