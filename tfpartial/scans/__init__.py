"""Scans as arrays with mm and HU, and the one preprocessing of every stage.

In: scan files (`formats`). Out: canonical int16 HU blocks with their grid,
and label maps back on the scan's own grid. No TensorFlow here.
Before: `tfpartial.databases` names the files.
After: the builder and `tfpartial.inference` both call `preprocess`.
"""

from tfpartial.scans.counts import count_values
from tfpartial.scans.formats import read_image, read_labels, write_volume
from tfpartial.scans.intensity import body_statistics, normalise, round_hu
from tfpartial.scans.orientation import turn_prone
from tfpartial.scans.preprocess import Preprocessed, preprocess
from tfpartial.scans.resample import (
    canonical_grid,
    resample_image,
    resample_labels,
    restore_labels,
)
from tfpartial.scans.volume import Grid, Placement, Volume, check_same_grid

__all__ = [
    "Grid",
    "Placement",
    "Preprocessed",
    "Volume",
    "body_statistics",
    "canonical_grid",
    "check_same_grid",
    "count_values",
    "normalise",
    "preprocess",
    "read_image",
    "read_labels",
    "resample_image",
    "resample_labels",
    "restore_labels",
    "round_hu",
    "turn_prone",
    "write_volume",
]
