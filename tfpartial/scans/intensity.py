"""Hounsfield units: rounding, the body's statistics, normalisation.

In: HU arrays. Out: int16 HU, mean and sd over the body, float32 values.
"""

from __future__ import annotations

import numpy as np

from tfpartial.errors import InputError

# A scan whose body is constant within the window would divide by zero.
SD_FLOOR = 1.0


def round_hu(values: np.ndarray) -> np.ndarray:
    """Round to whole HU, unclipped but for the range of int16.

    Args:
        values: float HU.

    Returns:
        int16; halves go to the even number.
    """
    limits = np.iinfo(np.int16)
    return np.rint(values).clip(limits.min, limits.max).astype(np.int16)


def body_statistics(
    hu: np.ndarray,
    hu_window: tuple[float, float],
    body_threshold_hu: float,
    name: str = "the scan",
) -> tuple[float, float]:
    """Return mean and sd of windowed HU over the body, not over air.

    Formula:
        mean, sd of clip(hu, lower, upper) over the voxels hu > threshold

    Args:
        hu: (I, J, K) HU.
        hu_window: (lower, upper).
        body_threshold_hu: voxels above it are the body mask.
        name: what the message calls the scan, usually its path.

    Returns:
        mean and population sd, in HU, computed in float64.

    Raises:
        InputError: no voxel above the threshold.
    """
    body = hu[hu > body_threshold_hu]
    if body.size == 0:
        raise InputError(
            f"{name}: expected voxels above body_threshold_hu = "
            f"{body_threshold_hu:g} HU, found values of {hu.min()} to "
            f"{hu.max()}. Check that the scan is CT in HU (air -1000, water 0)."
        )
    windowed = body.clip(*hu_window).astype(np.float64)
    return float(windowed.mean()), float(windowed.std())


def normalise(
    hu: np.ndarray, mean: float, sd: float, hu_window: tuple[float, float]
) -> np.ndarray:
    """Window and standardise HU.

    Formula:
        (clip(hu, lower, upper) - mean) / max(sd, 1)

    Args:
        hu: (...) HU.
        mean: of the scan's body, HU.
        sd: of the scan's body, HU.
        hu_window: (lower, upper).

    Returns:
        (...) float32, no unit.
    """
    windowed = np.asarray(hu, np.float32).clip(*hu_window)
    scale = np.float32(max(sd, SD_FLOOR))
    return ((windowed - np.float32(mean)) / scale).astype(np.float32)
