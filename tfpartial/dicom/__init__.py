"""DICOM in: CT series, and the masks of structure sets and segmentations.

In: files and folders. Out: `Volume`s in HU, boolean masks on their grids.
The only room that imports pydicom. No TensorFlow here.
Before: nothing. After: whoever reads scans and masks (docs/dicom.md).
"""

from tfpartial.dicom.finding import Found, find, find_series
from tfpartial.dicom.rtstruct import (
    StructureSet,
    match_series,
    read_structures,
)
from tfpartial.dicom.seg import Segmentation, read_segments
from tfpartial.dicom.series import Series, check_series

__all__ = [
    "Found",
    "Segmentation",
    "Series",
    "StructureSet",
    "check_series",
    "find",
    "find_series",
    "match_series",
    "read_segments",
    "read_structures",
]
