"""Labels on a grid with right angles: distances in mm are measured there.

In: label volumes of one scan. Out: the same, unless the scan's voxel axes are
sheared (a tilted gantry): then nearest neighbour on a rectangular grid.
"""

from __future__ import annotations

import numpy as np

from tfpartial.scans import Volume, canonical_grid, resample_labels
from tfpartial.scans.orientation import (
    closest_to_ras,
    shear_degrees,
    split_affine,
)


def at_right_angles(labels: Volume) -> Volume:
    """Return a label volume on a grid of the same voxel volume without shear.

    Args:
        labels: (I, J, K) integers. Outside of the scan stands 0.

    Raises:
        InputError: an unusable affine.
    """
    if not shear_degrees(labels.affine):
        return labels
    directions, own_mm = split_affine(labels.affine)
    order = list(closest_to_ras(directions).order)
    # Each axis without its part along those before: voxels of equal volume,
    # and the slices of a tilted gantry stay slices.
    _, upright = np.linalg.qr((directions * own_mm)[:, order])
    x, y, z = np.abs(np.diag(upright)).tolist()
    grid = canonical_grid(labels.shape, labels.affine, (x, y, z))
    return Volume(resample_labels(labels, grid, 0), grid.affine)
