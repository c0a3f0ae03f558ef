"""Polygons to pixels: even-odd at pixel centres, exactly.

In: closed polygons in pixel coordinates. Out: boolean slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Coordinates are multiples of this: a vertex that a planning system put on a
# pixel centre is there again after the inverse affine. 1 mm / 10^3 is written.
SNAP = 2.0**-20
# Rows that all edges cross, taken at once: bounds memory.
_MAX_CROSSINGS = 2**18


def fill(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centre is inside of an odd number of polygons.

    Rule: from the centre of pixel (i, j) go against I; the pixel is inside if
    an odd number of edges is crossed. An edge covers rows of its lower end
    (included) to its upper end (excluded), and a centre on an edge has
    crossed it. So of centres exactly on an outline those at its low-I side,
    and at its low-J side where it runs along I, are inside, those opposite
    are not: regions that share an edge share no pixel and leave none out.
    Holes, islands in holes, and keyholes (bridges run there and back) follow
    from counting.

    Args:
        polygons: each (N, 2) of (i, j), the centre of pixel (0, 0) is (0, 0);
            the last vertex joins the first.
        shape: (I, J).

    Returns:
        (I, J) bool, J outermost in memory.

    Source: the even-odd rule and half-open rows of Foley et al., Computer
    Graphics, 1990, 3.6.
    """
    columns, rows = shape
    # parity[j, i]: edges crossed on the way from i - 1 to i.
    crossed = np.zeros(rows * (columns + 1), np.uint8)
    for row, x in _crossings(_edges(polygons), rows):
        column = np.clip(np.ceil(x), 0, columns).astype(np.int64)
        at = row * (columns + 1) + column
        crossed ^= (np.bincount(at, minlength=crossed.size) & 1).astype(
            np.uint8
        )
    crossed = crossed.reshape(rows, columns + 1)[:, :columns]
    return np.bitwise_xor.accumulate(crossed, axis=1).astype(bool).T


def snap(coordinates: np.ndarray) -> np.ndarray:
    """Round coordinates to multiples of `SNAP` pixels."""
    return np.round(coordinates / SNAP) * SNAP


def _edges(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Return (E, 4): lower i, j, upper i, j of edges that cross rows.

    Lower end first: an edge gives the same crossings in both directions.
    """
    edges = [np.empty((0, 4))]
    for polygon in polygons:
        points = snap(np.asarray(polygon, np.float64))
        edges.append(np.hstack([points, np.roll(points, -1, axis=0)]))
    found = np.concatenate(edges)
    downward = found[:, 1] > found[:, 3]
    found[downward] = found[downward][:, [2, 3, 0, 1]]
    return found[found[:, 1] < found[:, 3]]


def _crossings(
    edges: np.ndarray, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (row, i) of where edges cross rows of pixel centres."""
    first = np.clip(np.ceil(edges[:, 1]), 0, rows).astype(np.int64)
    last = np.clip(np.ceil(edges[:, 3]), 0, rows).astype(np.int64)
    counts = last - first
    edges, first, counts = (part[counts > 0] for part in (edges, first, counts))
    ends = np.cumsum(counts)
    start = 0
    while start < len(edges):
        done = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, done + _MAX_CROSSINGS, "right"))
        stop = max(stop, start + 1)
        part = slice(start, stop)
        edge = np.repeat(np.arange(start, stop), counts[part])
        within = np.arange(len(edge)) - np.repeat(
            ends[part] - counts[part] - done, counts[part]
        )
        row = first[edge] + within
        i0, j0, i1, j1 = edges[edge].T
        yield row, snap(i0 + (row - j0) * ((i1 - i0) / (j1 - j0)))
        start = stop
