"""Which contours fill which slice of an image.

In: contours in voxel indices. Out: polygons for each slice, and what is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.dicom.polygons import snap

# Of a slice step: contours closer along K lie in one plane.
SAME_PLANE = 0.1


@dataclass(frozen=True)
class Planes:
    """Which contours fill which slice.

    Attributes:
        used: K -> polygons (N, 2) in pixel coordinates.
        outside: contours beyond the first or last slice.
        between: contours of planes that are not the nearest of a slice.
        twice: contours that are the same as another of their plane.
        gaps: slices without contours between such with.
        offset: the farthest of used contours from their slice, slice steps.
    """

    used: dict[int, list[np.ndarray]]
    outside: int
    between: int
    twice: int
    gaps: int
    offset: float


def choose_planes(
    placed: Sequence[tuple[float, np.ndarray]], slices: int
) -> Planes:
    """Give each slice the contours of the plane nearest to it.

    A plane belongs to the slice within half a step; halfway, to the higher.
    Planes of another step than the image's compete for a slice: their
    contours are not counted together.
    """
    placed = sorted(placed, key=lambda one: one[0])
    planes: list[tuple[float, list[np.ndarray]]] = []
    for k, polygon in placed:
        if not planes or k - planes[-1][0] > SAME_PLANE:
            planes.append((k, []))
        planes[-1][1].append(polygon)
    nearest: dict[int, tuple[float, list[np.ndarray]]] = {}
    outside = between = 0
    for k, polygons in planes:
        slice_number = int(np.floor(k + 0.5))
        if not 0 <= slice_number < slices:
            outside += len(polygons)
            continue
        before = nearest.get(slice_number)
        if before is None:
            nearest[slice_number] = (k, polygons)
            continue
        if abs(k - slice_number) < abs(before[0] - slice_number):
            nearest[slice_number] = (k, polygons)
            polygons = before[1]
        between += len(polygons)
    used = {k: _without_copies(found) for k, (_, found) in nearest.items()}
    twice = sum(len(found) - len(used[k]) for k, (_, found) in nearest.items())
    offset = max((abs(k - n) for n, (k, _) in nearest.items()), default=0.0)
    gaps = max(used) - min(used) + 1 - len(used) if used else 0
    return Planes(used, outside, between, twice, gaps, offset)


def _without_copies(polygons: list[np.ndarray]) -> list[np.ndarray]:
    """Drop contours that stand twice: counted twice they would be nothing."""
    return list({snap(one).tobytes(): one for one in polygons}.values())
