"""Anatomy -> HU as one scanner shows it: couch, blur, noise.

In: distances of every solid. Out: HU (float32) and labels (uint8).
Contrast: air -1000, fat -95, urine 8, muscle 52, uterus 57, marrow 170 to
260, cortical bone up to 800 HU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.phantom.bones import Skeleton
from tfpartial.phantom.organs import Organs
from tfpartial.phantom.shapes import Points
from tfpartial.phantom.tissue import Tissue

LABELS = (
    "bladder",
    "rectum",
    "uterus",
    "bones",
    "femoral_head_left",
    "femoral_head_right",
)
AIR_HU = -1000.0


@dataclass(frozen=True)
class Scanner:
    """How a scanner changes what it sees.

    Attributes:
        noise_hu: standard deviation of the noise.
        noise_voxels: correlation length of the noise, sigma in voxels.
        blur_voxels: point spread, sigma in voxels.
        offset_hu: calibration error of soft tissue.
    """

    noise_hu: float
    noise_voxels: float
    blur_voxels: float
    offset_hu: float


@dataclass(frozen=True)
class Anatomy:
    """All solids of one patient, as distances in mm."""

    tissue: Tissue
    skeleton: Skeleton
    organs: Organs


def build_labels(anatomy: Anatomy) -> np.ndarray:
    """Return (I, J, K) uint8: 0, or 1 + the position in `LABELS`.

    Bone displaces organs; the uterus indents the bladder and the rectum.
    """
    organs, skeleton = anatomy.organs, anatomy.skeleton
    inside = anatomy.tissue.body < -4
    order = (
        ("bladder", organs.bladder),
        ("rectum", organs.rectum),
        ("uterus", organs.uterus),
        ("bones", skeleton.bones),
        ("femoral_head_left", skeleton.head_left),
        ("femoral_head_right", skeleton.head_right),
    )
    labels = np.zeros(inside.shape, np.uint8)
    for name, distance in order:
        labels[(distance < 0) & inside] = LABELS.index(name) + 1
    return labels


def render(
    anatomy: Anatomy,
    labels: np.ndarray,
    points: Points,
    prone: bool,
    scanner: Scanner,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the scan (I, J, K) float32 in HU.

    Args:
        anatomy: distances in mm.
        labels: what `build_labels` returned for it.
        points: coordinates of the voxels in the patient's frame, not bent.
        prone: the couch is on the anterior side.
        scanner: its blur, noise and offset.
        rng: the generator of textures and noise.
    """
    hu = _soft_tissue(anatomy, rng)
    _paint_organs(hu, anatomy.organs, labels, rng)
    _paint_bones(hu, anatomy.skeleton, labels, rng)
    hu += np.float32(scanner.offset_hu)
    body = anatomy.tissue.body < 0
    hu[~body] = AIR_HU
    _paint_couch(hu, body, points[1], prone)
    hu = _blurred(hu, scanner.blur_voxels)
    hu += scanner.noise_hu * _noise(hu.shape, scanner.noise_voxels, rng)
    return np.clip(hu, -1024, 3071)


def _noise(
    shape: tuple[int, ...], sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """Gaussian noise of standard deviation 1, correlated over `sigma`."""
    white = rng.standard_normal(shape, np.float32)
    smooth = _blurred(white, sigma)
    return smooth / smooth.std()


def _blurred(array: np.ndarray, sigma: float) -> np.ndarray:
    # Here: a training on phantoms that are there would wait for it, too.
    from scipy import ndimage

    return ndimage.gaussian_filter(array, sigma)


def _soft_tissue(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    tissue = anatomy.tissue
    texture = _noise(tissue.body.shape, 1.3, rng)
    hu = (-95 + rng.normal(0, 4) + 9 * texture).astype(np.float32)
    muscle_hu = 50 + rng.normal(0, 4)
    sheets = _noise(tissue.body.shape, 2.6, rng)
    muscle = (tissue.muscle < 0) & (tissue.cavity > 0)
    # Where a smooth field crosses zero: the fat between muscles.
    fat_between = (np.abs(sheets) < 0.09) & (tissue.muscle < -5)
    muscle &= ~fat_between
    muscle |= tissue.psoas < 0
    hu[muscle] = muscle_hu + 5 * texture[muscle]
    # The muscular wall of the abdomen closes the cavity.
    wall = (tissue.cavity > 0) & (tissue.cavity < 7) & (tissue.muscle < 0)
    hu[wall] = muscle_hu + 5 * texture[wall]
    vessels = anatomy.organs.vessels < 0
    hu[vessels & (tissue.muscle < 0)] = 42 + rng.normal(0, 6)
    return hu


def _paint_organs(
    hu: np.ndarray,
    organs: Organs,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> None:
    texture = _noise(hu.shape, 1.0, rng)
    gut = np.minimum(organs.bowel, organs.sigmoid)
    _paint_gut(hu, gut, gut < 0, 0.25, texture, rng)
    bladder = labels == 1 + LABELS.index("bladder")
    hu[bladder] = 8 + rng.normal(0, 3) + 2 * texture[bladder]
    wall = bladder & (organs.bladder > -3)
    hu[wall] = 32
    rectum = labels == 1 + LABELS.index("rectum")
    _paint_gut(hu, organs.rectum, rectum, 0.5, texture, rng)
    uterus = labels == 1 + LABELS.index("uterus")
    hu[uterus] = 57 + rng.normal(0, 4) + 6 * texture[uterus]
    core = uterus & (organs.cavity_core < 0)
    hu[core] = 38


def _paint_gut(
    hu: np.ndarray,
    distance: np.ndarray,
    inside: np.ndarray,
    gas_share: float,
    texture: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """A wall of 4 mm around stool, fluid and pockets of gas."""
    hu[inside] = 44
    lumen = inside & (distance < -4)
    filling = _noise(hu.shape, 2.2, rng)
    hu[lumen] = rng.normal(26, 8) + 14 * texture[lumen]
    fullness = rng.uniform(-1.5, 1.5) + gas_share
    gas = lumen & (distance < -6) & (filling < fullness - 1.2)
    hu[gas] = -820
    # Stool holds small bubbles.
    stool = lumen & ~gas & (filling > 0.8)
    hu[stool] += -60 + 60 * texture[stool]


def _paint_bones(
    hu: np.ndarray,
    skeleton: Skeleton,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> None:
    texture = _noise(hu.shape, 0.9, rng)
    distance = np.minimum(
        skeleton.bones, np.minimum(skeleton.head_left, skeleton.head_right)
    )
    bone = labels > LABELS.index("bones")
    density = rng.normal(1.0, 0.12)
    hu[bone] = density * (190 + 45 * texture[bone])
    # Trabeculae of the heads are a little denser than other marrow.
    head = labels > LABELS.index("femoral_head_left")
    hu[head] += 45 * density
    cortex = bone & (distance > -3.5)
    hu[cortex] = density * (560 + 90 * texture[cortex])


def _paint_couch(
    hu: np.ndarray, body: np.ndarray, y: np.ndarray, prone: bool
) -> None:
    """A flat table of two plates around foam, below the patient."""
    below = y if prone else -y
    surface = below[body].max() + 3 if body.any() else np.float32(1e9)
    depth = below - surface
    free = ~body
    hu[free & (depth >= 0) & (depth < 26)] = -930
    hu[free & (depth >= 0) & (depth < 4)] = -250
    hu[free & (depth >= 22) & (depth < 26)] = -350
