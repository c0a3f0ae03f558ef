"""The skeleton of the standard pelvis, left and right drawn separately.

In: coordinates in the standard frame (mm; +x is the patient's right, +y
anterior, +z head), a random generator.
Out: distances of all bones and of each femoral head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.phantom.shapes import (
    Points,
    capsule,
    ellipsoid,
    plate,
    tube,
    union,
)

LANDMARK_SD_MM = 2.5


@dataclass(frozen=True)
class Skeleton:
    """Distances in mm, float32, of the shape of the scan.

    Attributes:
        bones: everything but the femoral heads.
        head_left: the patient's left femoral head (x < 0).
        head_right: the patient's right femoral head (x > 0).
    """

    bones: np.ndarray
    head_left: np.ndarray
    head_right: np.ndarray


def build_skeleton(points: Points, rng: np.random.Generator) -> Skeleton:
    """Place sacrum, both hip bones and both femora."""
    heads, rest = [], [_sacrum(points), _lumbar(points)]
    for side in (-1.0, 1.0):
        mirrored = (points[0] * np.float32(side), points[1], points[2])
        jitter = _Jitter(rng)
        centre = jitter(88, 0, 0)
        radius = rng.uniform(21.5, 25.0)
        heads.append(ellipsoid(mirrored, centre, [radius] * 3))
        rest += [
            _femur(mirrored, centre, jitter),
            _acetabulum(mirrored, centre, radius),
            _hip_bone(mirrored, jitter),
        ]
    return Skeleton(union(*rest), heads[0], heads[1])


class _Jitter:
    """Landmarks moved a little, each by its own draw."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, x: float, y: float, z: float) -> np.ndarray:
        return np.array([x, y, z]) + self._rng.normal(0, LANDMARK_SD_MM, 3)


def _femur(points: Points, head: np.ndarray, jitter: _Jitter) -> np.ndarray:
    """Neck, greater trochanter and shaft; the head is a label of its own."""
    trochanter = jitter(138, -12, -22)
    base = trochanter + (-12, 4, -20)
    return union(
        capsule(points, head + (8, -2, -4), trochanter, 13, 15),
        ellipsoid(points, trochanter, (15, 17, 26)),
        capsule(points, base, jitter(116, 2, -190), 19, 14),
    )


def _acetabulum(points: Points, head: np.ndarray, radius: float) -> np.ndarray:
    """A bony cup around the head, open to lateral, below and anterior."""
    x, y, z = (
        axis - np.float32(at) for axis, at in zip(points, head, strict=True)
    )
    length = np.sqrt(x**2 + y**2 + z**2)
    shell = np.abs(length - (radius + 9.0)) - 5.5
    # 3 mm of cartilage stay between the head and the cup.
    facing = (-0.72 * x - 0.2 * y + 0.66 * z) - 0.25 * length
    return np.maximum(shell, -facing).astype(np.float32)


def _hip_bone(points: Points, jitter: _Jitter) -> np.ndarray:
    """Iliac wing, ischium and the two rami that leave the foramen open."""
    wing = plate(
        points,
        jitter(94, -18, 82),
        along=(0.55, 0.83, 0.0),
        up=(0.30, 0.0, 0.95),
        radii=(7.5, 66, 62),
    )
    body = capsule(points, jitter(88, -8, 34), jitter(84, -26, 62), 15, 10)
    joint = capsule(points, jitter(60, -62, 55), jitter(66, -48, 80), 11, 9)
    tuber = jitter(60, -46, -64)
    ischium = capsule(points, jitter(80, -28, -16), tuber, 14, 14)
    symphysis = jitter(11, 44, -30)
    upper = capsule(points, jitter(66, 16, 10), symphysis, 10, 8)
    lower = capsule(points, symphysis + (3, -6, -12), tuber, 7, 9)
    return union(wing, body, joint, ischium, upper, lower)


def _sacrum(points: Points) -> np.ndarray:
    """A wedge along a curve that is hollow to the front."""
    x, y, z = points
    # 0 at the tip of the coccyx, 1 at the upper end plate.
    share = np.clip((z + 25) / 115, 0, 1)
    middle = -84 - 50 * share * (1 - share) + 26 * share
    half_width = 7 + 46 * share**1.3
    half_depth = 6 + 15 * share
    across = np.sqrt((x / half_width) ** 2 + ((y - middle) / half_depth) ** 2)
    side = (across - 1) * half_depth
    ends = np.abs(z - 32.5) - 57.5
    canal = capsule(points, (0, -90, 30), (0, -66, 110), 5, 8)
    return np.maximum(np.maximum(side, ends), -canal).astype(np.float32)


def _lumbar(points: Points) -> np.ndarray:
    """L5 and what is seen of L4, with a disc gap and spinous processes."""
    vertebrae = [
        np.maximum(
            ellipsoid(points, (0, -36, z), (27, 20, 400)),
            np.abs(points[2] - np.float32(z)) - 13,
        )
        for z in (110, 143, 176)
    ]
    spines = tube(points, [(0, -92, 60), (0, -84, 100), (0, -82, 190)], [5] * 3)
    return union(*vertebrae, spines)
