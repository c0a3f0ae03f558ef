"""What is kept of a scan to find it again under another name.

In: a scan near RAS+. Out: `Fingerprint`; the turns of axes between two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfpartial.audit.same_scan.profiles import Profiles
from tfpartial.scans import Volume

RESET_SPACING_MM = (1.0, 1.0, 1.0)
# The axes of one scan in the order of another, then which are reversed.
Turn = tuple[tuple[int, ...], tuple[bool, ...]]
UNTURNED: Turn = ((0, 1, 2), (False, False, False))


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of one scan to find it again.

    Attributes:
        database: name.
        case: case id.
        split: train, validation or test.
        spacing_mm: of the file, near-RAS axis order.
        exact_hash: of `databases.exact_hash`.
        coarse: (i, j, k) int16, HU, `coarse_copy`.
        profiles: of `coarse`, in units of its spacing.
        voxel_profiles: of the scan's own voxels, halved.
        read: returns the scan again, in the order of near-RAS axes.
    """

    database: str
    case: str
    split: str
    spacing_mm: tuple[float, float, float]
    exact_hash: str
    coarse: np.ndarray
    profiles: Profiles
    voxel_profiles: Profiles
    read: Callable[[], Volume]

    @property
    def name(self) -> str:
        """'database/case'."""
        return f"{self.database}/{self.case}"

    @property
    def may_be_reset(self) -> bool:
        """Whether a lost header would look like this one: 1 mm cubes."""
        return np.allclose(self.spacing_mm, RESET_SPACING_MM, atol=1e-4)


def turn_array(array: np.ndarray, turn: Turn) -> np.ndarray:
    """Return an array with axes permuted, then some of them reversed."""
    order, flips = turn
    cut = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return array.transpose(order)[cut]


def inverse(turn: Turn) -> Turn:
    """Return the turn that undoes a turn."""
    order, flips = turn
    back = tuple(int(axis) for axis in np.argsort(order))
    return back, tuple(flips[axis] for axis in back)
