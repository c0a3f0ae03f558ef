"""A hash of a scan's voxels: the same scan under two names has the same.

In: a volume. Out: hex text. Guards the splits (tests/traps, trap 9).
"""

from __future__ import annotations

import hashlib
from itertools import permutations

import numpy as np

from tfpartial.scans import Volume

# Spacings are compared in steps that no usual spacing (0.5, 0.9765625, 2.7)
# lies half-way between: float32 noise of an affine must not flip a step.
_SPACING_STEP_MM = 0.01 * 2**0.5


def exact_hash(volume: Volume) -> str:
    """Hash voxels and spacing, whatever the order of the axes on disk.

    The array is flipped and permuted (never interpolated) to its closest
    RAS order, rounded to int16 HU. The origin does not count: copies are
    often re-centred.

    Args:
        volume: (I, J, K), HU. One acquired prone must carry the turned affine
            to equal a copy whose affine is already that of the patient.

    Returns:
        64 hex digits of sha256.

    Holds:
        LPS, RAS and PLI copies agree; one voxel changed by 1 HU does not.
    """
    array, spacing_mm = _closest_ras(volume.array, volume.affine)
    hu = np.empty(array.shape, "<i2")
    # Plane by plane: files run along i, the hash along k, and a whole scan
    # turned at once misses every cache.
    for j in range(array.shape[1]):
        hu[:, j] = _as_int16(array[:, j])
    steps = np.rint(spacing_mm / _SPACING_STEP_MM).astype(int)
    digest = hashlib.sha256(f"{hu.shape} {steps.tolist()} ".encode())
    digest.update(hu.data)
    return digest.hexdigest()


def _as_int16(array: np.ndarray) -> np.ndarray:
    """Return HU rounded to the nearest int16."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(array), limits.min, limits.max)


def _closest_ras(
    array: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a view with axes nearest to x, y, z, and its spacing (3,) mm."""
    columns = np.asarray(affine, float)[:3, :3]
    spacing_mm = np.linalg.norm(columns, axis=0)
    cosines = columns / spacing_mm
    order = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(cosines[x, a]) for x, a in enumerate(axes)),
    )
    turned = np.transpose(array, order)
    flips = tuple(
        slice(None, None, -1 if cosines[x, a] < 0 else 1)
        for x, a in enumerate(order)
    )
    return turned[flips], spacing_mm[list(order)]
