"""The one preprocessing: the builder and the predictor both call it.

In: a `Volume` in HU. Out: `Preprocessed`, which also knows the way back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.scans.intensity import body_statistics, round_hu
from tfpartial.scans.orientation import turn_prone
from tfpartial.scans.resample import canonical_grid, resample_image
from tfpartial.scans.volume import Grid, Volume

OUTSIDE_HU = -1000.0


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """A scan on its canonical grid.

    Attributes:
        hu: (I, J, K) int16, rounded and not clipped to the window.
        grid: the canonical grid of hu.
        mean: of windowed HU over the body mask.
        sd: of windowed HU over the body mask, not floored.
        turned_affine: (4, 4) of the scan, after the prone turn if any; what
            `restore_labels` needs.
        source_shape: (I, J, K) of the scan.
    """

    hu: np.ndarray
    grid: Grid
    mean: float
    sd: float
    turned_affine: np.ndarray
    source_shape: tuple[int, int, int]


def preprocess(
    volume: Volume,
    spacing_mm: tuple[float, float, float],
    hu_window: tuple[float, float],
    body_threshold_hu: float,
    prone_turn: bool = False,
    name: str = "the scan",
) -> Preprocessed:
    """Bring a scan to the canonical grid and measure its body (decision 4).

    Args:
        volume: (I, J, K) HU, any orientation.
        spacing_mm: of the canonical grid along x, y, z.
        hu_window: (lower, upper) of the statistics.
        body_threshold_hu: voxels above it are the body.
        prone_turn: turn by 180 degrees about the long axis first.
        name: what messages call the scan, usually its path.

    Returns:
        Preprocessed.

    Raises:
        InputError: unusable affine, absurd grid, or no body voxel.
    """
    affine = turn_prone(volume.affine) if prone_turn else volume.affine
    grid = canonical_grid(volume.shape, affine, spacing_mm, name)
    turned = Volume(volume.array, affine)
    hu = round_hu(resample_image(turned, grid, OUTSIDE_HU))
    mean, sd = body_statistics(hu, hu_window, body_threshold_hu, name)
    return Preprocessed(hu, grid, mean, sd, affine, volume.shape)
