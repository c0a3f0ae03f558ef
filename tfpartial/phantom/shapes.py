"""Solids as signed distances: mm, negative inside.

In: coordinates of every voxel as three float32 arrays (x, y, z) in mm.
Out: one float32 array of their shape. Distances are exact for capsules and
first-order near the surface for the others, which is all that shells need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Position = Sequence[float] | np.ndarray


def ellipsoid(points: Points, centre: Position, radii: Position) -> np.ndarray:
    """Distance to an axis-aligned ellipsoid, first order.

    Formula:
        k = |(p - c) / r|,   d = k (k - 1) / |(p - c) / r^2|
    """
    first = np.zeros_like(points[0])
    second = np.zeros_like(points[0])
    for axis, middle, radius in zip(points, centre, radii, strict=True):
        scaled = (axis - np.float32(middle)) / np.float32(radius)
        first += scaled**2
        second += (scaled / np.float32(radius)) ** 2
    length = np.sqrt(first)
    return length * (length - 1) / np.sqrt(np.maximum(second, 1e-6))


def capsule(
    points: Points,
    start: Position,
    end: Position,
    start_radius: float,
    end_radius: float | None = None,
) -> np.ndarray:
    """Distance to a segment with a radius that changes along it."""
    end_radius = start_radius if end_radius is None else end_radius
    direction = np.subtract(end, start).astype(np.float32)
    relative = _relative(points, start)
    # Two equal ends are a sphere.
    length_squared = max(float(direction @ direction), 1e-6)
    share = np.clip(_dot(relative, direction) / length_squared, 0, 1)
    gaps = [
        axis - share * along
        for axis, along in zip(relative, direction, strict=True)
    ]
    squared = gaps[0] ** 2 + gaps[1] ** 2 + gaps[2] ** 2
    radius = np.float32(start_radius) + share * np.float32(
        end_radius - start_radius
    )
    return np.sqrt(squared) - radius


def tube(
    points: Points, path: Sequence[Position], radii: Sequence[float]
) -> np.ndarray:
    """Distance to capsules strung along a path."""
    pieces = zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True)
    return union(*(capsule(points, *piece) for piece in pieces))


def plate(
    points: Points,
    centre: Position,
    along: Position,
    up: Position,
    radii: Position,
) -> np.ndarray:
    """Distance to an ellipsoid with axes (normal, along, up).

    Args:
        points: (x, y, z).
        centre: its middle, mm.
        along: direction of the second axis, any length.
        up: direction of the third; made perpendicular to `along`.
        radii: half-lengths in mm: normal (the thickness), along, up.
    """
    second = np.asarray(along, float) / np.linalg.norm(along)
    third = np.asarray(up, float) - second * np.dot(up, second)
    third /= np.linalg.norm(third)
    frame = np.stack([np.cross(second, third), second, third])
    relative = _relative(points, centre)
    turned = (
        _dot(relative, frame[0]),
        _dot(relative, frame[1]),
        _dot(relative, frame[2]),
    )
    return ellipsoid(turned, (0, 0, 0), radii)


def union(*distances: np.ndarray) -> np.ndarray:
    """Distance to the union of solids."""
    return np.minimum.reduce(distances)


def _relative(points: Points, origin: Position) -> Points:
    x, y, z = np.asarray(origin, np.float32)
    return points[0] - x, points[1] - y, points[2] - z


def _dot(points: Points, vector: np.ndarray) -> np.ndarray:
    a, b, c = np.asarray(vector, np.float32)
    return points[0] * a + points[1] * b + points[2] * c
