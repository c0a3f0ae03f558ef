"""Area of the surface element (surfel) in every 2x2x2 neighbourhood.

In: spacing in mm. Out: a table, neighbourhood code -> area in mm^2.
A code has one bit per voxel of the neighbourhood, set if it is inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

# BIT[i, j, k] is the bit of neighbour (i, j, k) of a 2x2x2 neighbourhood.
BIT = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]], np.uint8)
NUM_CODES = 256
INSIDE = NUM_CODES - 1

# Area vectors of the marching-cubes triangles, in eighths of a voxel face, of
# one neighbourhood of each kind; every other code is one of these with axes
# exchanged, mirrored, or with inside and outside exchanged.
_KINDS: dict[int, list[tuple[int, int, int]]] = {
    0b00000000: [],
    0b00000001: [(1, 1, 1)],
    0b00000011: [(2, 2, 0), (2, 2, 0)],
    0b00000110: [(1, 1, 1), (1, 1, 1)],
    0b00000111: [(4, 0, 0), (2, 2, 2), (1, 1, 1)],
    0b00001111: [(4, 0, 0), (4, 0, 0)],
    0b00010110: [(1, 1, 1), (1, 1, 1), (1, 1, 1)],
    0b00010111: [(1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 1, 1)],
    0b00011000: [(1, 1, 1), (1, 1, 1)],
    0b00011001: [(0, 2, 2), (0, 2, 2), (1, 1, 1)],
    0b00011011: [(1, 1, 1), (3, 3, 3), (0, 2, 2), (2, 0, 2)],
    0b00011110: [(4, 0, 0), (1, 1, 1), (2, 2, 2), (1, 1, 1)],
    0b00111100: [(2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)],
    0b01101001: [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)],
}


def surfel_areas(spacing_mm: Sequence[float]) -> np.ndarray:
    """Return (256,) float64: area in mm^2 of each neighbourhood's surfel.

    Formula:
        area(code) = sum over its triangles of |n * (sj sk, si sk, si sj)|
        n: area vector of the triangle in voxel units

    Args:
        spacing_mm: (si, sj, sk).

    Holds:
        0 for all-outside and all-inside; inside and outside exchanged is the
        same area.

    Example:
        a flat face across I at spacing (3, 1, 2): 1 * 2 = 2 mm^2

    Source: marching cubes as in DeepMind's surface-distance (S. Nikolov et
    al., arXiv 1809.04430). Differs from it in: nothing; its 256 rows are
    generated from 14.
    """
    i, j, k = (float(s) for s in spacing_mm)
    faces = np.array([j * k, i * k, i * j])
    lengths = np.linalg.norm(_area_vectors() * faces, axis=-1)
    return np.asarray(lengths.sum(axis=-1))


@lru_cache(maxsize=1)
def _area_vectors() -> np.ndarray:
    """Return (256, 4, 3) float64, voxel units; signs are of no use here."""
    table = np.full((NUM_CODES, 4, 3), np.nan)
    for kind, triangles in _KINDS.items():
        vectors = np.zeros((4, 3))
        vectors[: len(triangles)] = np.reshape(triangles, (-1, 3))
        inside = (BIT & kind) > 0
        for order in itertools.permutations(range(3)):
            for flips in itertools.product((1, -1), repeat=3):
                turned = inside.transpose(order)[
                    tuple(slice(None, None, flip) for flip in flips)
                ]
                code = int(BIT[turned].sum())
                table[code] = table[INSIDE - code] = vectors[:, order] / 8
    return table
