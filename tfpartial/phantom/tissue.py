"""Body outline, fat, muscle and the pelvic cavity of the standard pelvis.

In: coordinates in the standard frame (mm), a generator. Out: distances in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.phantom.shapes import Points, capsule, tube, union

# Muscles flatten where the patient lies on the couch.
CONTACT_MM = 106.0


@dataclass(frozen=True)
class Tissue:
    """Distances in mm, float32, of the shape of the scan.

    Attributes:
        body: skin.
        muscle: what lies under the subcutaneous fat.
        cavity: fat of the pelvis and abdomen, in which organs lie.
        psoas: the muscles that run through the cavity to the thigh.
    """

    body: np.ndarray
    muscle: np.ndarray
    cavity: np.ndarray
    psoas: np.ndarray


def build_tissue(
    points: Points, prone: bool, rng: np.random.Generator
) -> Tissue:
    """Draw one patient's outline and layers."""
    body = _body(points, prone, rng.uniform(0.97, 1.06))
    fat = _fat_thickness(points, rng)
    psoas = [
        tube(
            points,
            [(44 * s, -28, 190), (52 * s, -20, 110), (82 * s, 26, 30)]
            + [(96 * s, 30, -10), (112 * s, 0, -62)],
            [19, 22, 21, 17, 13],
        )
        for s in (-1, 1)
    ]
    return Tissue(body, body + fat, _cavity(points), union(*psoas))


def _superellipse(
    x: np.ndarray, y: np.ndarray, half: tuple[float, float], power: float
) -> np.ndarray:
    radius = (np.abs(x / half[0]) ** power + np.abs(y / half[1]) ** power) ** (
        1 / power
    )
    return ((radius - 1) * min(half)).astype(np.float32)


def _body(points: Points, prone: bool, girth: float) -> np.ndarray:
    """Trunk with hips, two thighs, and the side the patient lies on."""
    x, y, z = points
    # Widest at the trochanters, narrowest at the waist.
    width = 1 + 0.09 * np.exp(-(((z + 20) / 70) ** 2))
    trunk = _superellipse(x / width, y + 4, (160 * girth, 110 * girth), 2.4)
    # The perineum is round, between the thighs.
    trunk = np.maximum(trunk, -(z + 92) + 0.002 * (x**2 + (y + 15) ** 2))
    legs = [
        capsule(
            (x, y * np.float32(0.92), z),
            (s * 90, -4, -60),
            (s * 86, 2, -260),
            83 * girth,
            74 * girth,
        )
        for s in (-1, 1)
    ]
    body = union(trunk, *legs)
    facing = y if prone else -y
    return np.maximum(body, facing - np.float32(CONTACT_MM * girth))


def _fat_thickness(points: Points, rng: np.random.Generator) -> np.ndarray:
    """Subcutaneous fat in mm: thicker behind and on one side or the other."""
    x, y, z = points
    angle = np.arctan2(y, x)
    base = rng.uniform(9, 20)
    posterior = rng.uniform(2, 9) * np.maximum(-np.sin(angle), 0)
    uneven = rng.uniform(0, 3) * np.cos(angle - rng.uniform(0, 2 * np.pi))
    belly = rng.uniform(0, 12) * np.exp(-(((z - 70) / 60) ** 2))
    belly = belly * np.maximum(np.sin(angle), 0)
    return (base + posterior + uneven + belly).astype(np.float32)


def _cavity(points: Points) -> np.ndarray:
    """Narrow between the acetabula, wide above the iliac crests."""
    x, y, z = points
    half = 54 + 0.5 * np.clip(z + 5, 0, 90)
    across = _superellipse(x * (90 / half), y + 6, (90, 72), 2.6)
    # The pelvic floor is a bowl.
    floor = -(z + 54) + 0.004 * (x**2 + (y + 6) ** 2)
    return np.maximum(across, floor).astype(np.float32)
