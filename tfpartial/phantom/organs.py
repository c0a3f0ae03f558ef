"""Bladder, uterus, rectum and the bowel that looks like them.

In: coordinates in the standard frame, the pelvic cavity, a generator.
Out: distances (mm, negative inside) and what fills each organ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.phantom.shapes import (
    Points,
    Position,
    capsule,
    ellipsoid,
    tube,
    union,
)


@dataclass(frozen=True)
class Organs:
    """Distances in mm, float32, of the shape of the scan.

    Attributes:
        bladder: outer wall.
        uterus: body and cervix.
        rectum: outer wall, from the anus to the sigmoid.
        sigmoid: the bowel that continues the rectum; not a label.
        bowel: loops above the organs; not a label.
        vessels: iliac arteries and veins; not a label.
        cavity_core: the endometrium.
    """

    bladder: np.ndarray
    uterus: np.ndarray
    rectum: np.ndarray
    sigmoid: np.ndarray
    bowel: np.ndarray
    vessels: np.ndarray
    cavity_core: np.ndarray


def build_organs(
    points: Points, prone: bool, rng: np.random.Generator
) -> Organs:
    """Place the organs; lying prone lets them sink to the front a little."""
    sink = 6.0 if prone else 0.0
    bladder, dome = _bladder(points, sink, rng)
    uterus, core = _uterus(points, dome, sink, rng)
    rectum, sigmoid = _rectum(points, rng)
    return Organs(
        bladder=bladder,
        uterus=uterus,
        rectum=rectum,
        sigmoid=sigmoid,
        bowel=_bowel(points, rng),
        vessels=_vessels(points, rng),
        cavity_core=core,
    )


def _bladder(
    points: Points, sink: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Filling decides the size: the base stays, the dome rises."""
    volume_ml = rng.uniform(70, 340)
    radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    flat = rng.uniform(0.78, 1.0)
    radii = radius * np.array([1 / np.sqrt(flat), 1 / np.sqrt(flat), flat])
    radii[:2] *= np.array([1.1, 1 / 1.1])
    centre = (
        rng.normal(0, 5),
        38 - 0.8 * radii[1] + sink,
        -30 + radii[2],
    )
    distance = ellipsoid(points, centre, radii)
    # A second lobe makes the outline less than a perfect ellipsoid.
    lobe = np.add(centre, radii * rng.normal(0, 0.35, 3))
    distance = union(distance, ellipsoid(points, lobe, 0.75 * radii))
    return distance, float(centre[2] + radii[2])


def _uterus(
    points: Points, dome: float, sink: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """From the cervix up, leaning over the bladder (or, rarely, back)."""
    cervix = np.array([rng.normal(0, 5), -26 + sink, rng.normal(2, 4)])
    lean = np.deg2rad(rng.choice([rng.normal(45, 15), -15], p=[0.8, 0.2]))
    tilt = np.deg2rad(rng.normal(0, 15))
    length = rng.uniform(34, 52)
    direction = np.array(
        [np.sin(tilt), np.sin(lean) * np.cos(tilt), np.cos(lean)]
    )
    fundus = cervix + length * direction / np.linalg.norm(direction)
    # The body of the uterus lies on the dome of a full bladder.
    fundus[2] = max(fundus[2], 0.75 * dome + 8)
    thick = rng.uniform(19, 27)
    body = capsule(points, cervix, fundus, 13, thick)
    core = capsule(points, 0.5 * (cervix + fundus), fundus, 3, 6)
    return body, core


def _rectum(
    points: Points, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Anal canal, the bend, then along the sacrum up to the sigmoid."""
    sway = rng.normal(0, 5, 3)
    wide = rng.uniform(12, 19)
    top = np.array([sway[2], -36, 50 + rng.normal(0, 4)])
    path: list[Position] = [
        (0, -54, -82),
        (0, -40, -56),
        (sway[0], -52, -30),
        (sway[1], -57, 4),
        (sway[2], -51, 32),
        top,
    ]
    radii = [11, 11, 0.9 * wide, wide, 0.9 * wide, 12]
    rectum = tube(points, path, radii)
    onward: list[Position] = [
        top + (-14, 10, 6),
        top + (-42, 22, 10 + rng.normal(0, 5)),
        (-78, 4, 78 + rng.normal(0, 8)),
        (-92, 14, 150),
    ]
    return rectum, tube(points, onward, [12, 13, 14, 15])


def _bowel(points: Points, rng: np.random.Generator) -> np.ndarray:
    """Loops on a random walk through the upper part of the cavity."""
    loops = []
    for _ in range(6):
        at = rng.uniform((-60, -15, 55), (60, 55, 130))
        path = [at]
        for _ in range(4):
            step = rng.normal(0, 1, 3)
            at = at + 34 * step / np.linalg.norm(step)
            path.append(at.clip((-72, -25, 45), (72, 58, 170)))
        loops.append(tube(points, path, rng.uniform(9, 14, 5).tolist()))
    return union(*loops)


def _vessels(points: Points, rng: np.random.Generator) -> np.ndarray:
    """External iliac vessels of both sides, from L5 to the groin."""
    sides = []
    for side in (-1, 1):
        path = np.array(
            [
                (14, -10, 150),
                (36, -8, 90),
                (62, 14, 45),
                (70, 46, -5),
                (66, 52, -190),
            ]
        ) + rng.normal(0, 3, (5, 3))
        path[:, 0] *= side
        sides.append(tube(points, path.tolist(), [8, 8, 9, 8, 7]))
    return union(*sides)
