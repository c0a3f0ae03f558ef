"""Any scan there may be: shape, orientation, spacing, obliqueness, origin."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape and affine of a scan, both as a NIfTI header may hold them."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __repr__(self) -> str:
        return f"Geometry({self.shape}, {self.affine.tolist()})"

    def positions_mm(self) -> np.ndarray:
        """Return (I, J, K, 3): where each voxel's centre is."""
        index = np.stack(np.indices(self.shape), axis=-1)
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    @property
    def spacing_mm(self) -> np.ndarray:
        """Lengths of the three voxel edges."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def rotation(angles_degrees: tuple[float, float, float]) -> np.ndarray:
    """Return the rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, degrees in enumerate(angles_degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        matrix = turn @ matrix
    return matrix


def orientations() -> list[np.ndarray]:
    """Return the 48 ways to store three axes."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), range(3)] = signs
            found.append(matrix)
    return found


spacings = st.tuples(*[st.floats(0.5, 4.0, width=32)] * 3)


@st.composite
def geometries(
    draw: st.DrawFn, most_degrees: float = 40.0, sizes: tuple = (3, 14)
) -> Geometry:
    """Draw a scan; with 0 degrees its axes are those of the world."""
    shape = draw(st.tuples(*[st.integers(*sizes)] * 3))
    axes = draw(st.sampled_from(orientations()))
    angle = st.floats(-most_degrees, most_degrees, width=32)
    turn = rotation(draw(st.tuples(angle, angle, angle)))
    origin = draw(st.tuples(*[st.floats(-500, 500, width=32)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ (axes * np.asarray(draw(spacings)))
    affine[:3, 3] = origin
    return Geometry(shape, affine.astype(np.float32).astype(np.float64))
