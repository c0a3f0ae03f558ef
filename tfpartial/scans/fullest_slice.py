"""Which slice of a scan shows most of what is annotated.

In: masks (I, J, K). Out: an index along one axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def fullest_slice(
    masks: Iterable[np.ndarray], axis: int, shape: Sequence[int]
) -> int:
    """Return the slice that shows most of most structures.

    Formula:
        argmax over slices of sum over masks of area(slice) / largest area

    Args:
        masks: (I, J, K) bool, one per structure; empty ones do not count.
        axis: the slices are numbered along it.
        shape: of the scan; without masks its middle is shown.
    """
    others = tuple(a for a in range(3) if a != axis)
    total = np.zeros(shape[axis])
    for mask in masks:
        area = mask.sum(axis=others)
        if area.any():
            total += area / area.max()
    return int(np.argmax(total)) if total.any() else shape[axis] // 2
