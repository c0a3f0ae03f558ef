"""Where the slices of a series lie: one affine, or the slices that forbid it.

In: positions and orientations in DICOM's frame (LPS+ mm). Out: an affine to
RAS+ mm and the order of the slices.

Nothing but ImagePositionPatient, ImageOrientationPatient and PixelSpacing is
geometry: not file names, not instance numbers, not SliceThickness, not
PatientPosition (a prone patient's axes are in the orientation already).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpartial.dicom.planes import Plane

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Slices closer than this stand at one place (positions are rounded).
SAME_PLACE_MM = 0.01
# Slices may lie so far from equal distances, in slice steps.
UNEVEN_STEPS = 0.1
# So many are told in one message.
MAX_GAPS = 5


def affine_of(plane: Plane, step: np.ndarray) -> np.ndarray:
    """Return (4, 4), voxel index (I, J, K) -> RAS+ mm.

    Formula, in LPS+, PS3.3 C.7.6.2.1.1 with the step of the positions:
        x = first + i * spacing_i * row + j * spacing_j * column + k * step

    The step need not be along the normal: a tilted gantry shears.

    Args:
        plane: of the first slice.
        step: (3,) LPS+ mm from one slice to the next.
    """
    affine = np.eye(4)
    affine[:3, 0] = plane.axes[0] * plane.spacing[1]
    affine[:3, 1] = plane.axes[1] * plane.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = plane.position
    return LPS_TO_RAS @ affine


def find_places(positions: np.ndarray, normal: np.ndarray) -> list[np.ndarray]:
    """Return the indices of slices that stand at one place, feet to head.

    Args:
        positions: (N, 3).
        normal: (3,) of a `Plane`.

    Returns:
        Along the normal; each an array of one index, or of more where slices
        stand twice.
    """
    order = np.argsort(positions @ normal, kind="stable")
    moved = np.linalg.norm(np.diff(positions[order], axis=0), axis=1)
    return np.split(order, np.flatnonzero(moved > SAME_PLACE_MM) + 1)


def mean_step(positions: np.ndarray) -> np.ndarray:
    """Return the vector (3,) from slice to slice of (N > 1, 3) positions."""
    return (positions[-1] - positions[0]) / (len(positions) - 1)


def describe_gaps(
    positions: np.ndarray, normal: np.ndarray, names: Sequence[str]
) -> str:
    """Return what is uneven between slices, naming them; "" if nothing is.

    Args:
        positions: (N > 1, 3), sorted along the normal.
        normal: (3,).
        names: of the slices, in this order.
    """
    steps = np.diff(positions, axis=0)
    by_length = np.argsort(np.linalg.norm(steps, axis=1), kind="stable")
    # A step that is there: of two kinds of steps, the mean would be neither.
    usual = steps[by_length[(len(steps) - 1) // 2]]
    length = np.linalg.norm(usual)
    off = np.linalg.norm(steps - usual, axis=1)
    bad = np.flatnonzero(off > UNEVEN_STEPS * length)
    if not len(bad):
        line = positions[0] + np.outer(
            np.arange(len(positions)), mean_step(positions)
        )
        drift = np.linalg.norm(positions - line, axis=1)
        worst = int(drift.argmax())
        if drift[worst] <= UNEVEN_STEPS * length:
            return ""
        return (
            f"slice {worst + 1} ({names[worst]}) lies {drift[worst]:.3g} mm "
            f"off the line of equal steps of {length:.4g} mm"
        )
    distances = steps @ normal
    gaps = [
        _one_gap(k, distances, float(usual @ normal), names)
        for k in bad[:MAX_GAPS]
    ]
    more = len(bad) - len(gaps)
    return "; ".join(gaps) + (f"; and {more} more" if more else "")


def _one_gap(
    k: int, distances: np.ndarray, usual: float, names: Sequence[str]
) -> str:
    between = (
        f"{distances[k]:.4g} mm between slices {k + 1} and {k + 2} "
        f"({names[k]}, {names[k + 1]})"
    )
    missing = round(distances[k] / usual) - 1
    if missing > 0 and abs(distances[k] / usual - missing - 1) < UNEVEN_STEPS:
        word = "slice is" if missing == 1 else "slices are"
        return f"{between}, where {missing} {word} missing"
    return f"{between}, where {usual:.4g} mm is usual"
