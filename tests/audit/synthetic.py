"""Scans of textured ellipsoids: every seed another patient, no two alike."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tfpartial.audit.coarse import block_means, coarse_copy
from tfpartial.audit.measures import CaseMeasures, StructureMeasure
from tfpartial.audit.same_scan.fingerprint import Fingerprint
from tfpartial.audit.same_scan.profiles import plane_profiles
from tfpartial.databases import exact_hash
from tfpartial.scans import Volume

SHAPE = (56, 44, 60)
SPACING_MM = (4.0, 4.0, 3.0)


def patient(seed: int) -> Volume:
    """HU int16 near RAS+: air around a body of blobs of 10 to 30 mm."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.indices(SHAPE), -1) - (np.array(SHAPE) - 1) / 2
    inside = np.linalg.norm(places / (np.array(SHAPE) / 2.3), axis=-1) < 1
    texture = sum(
        _unit(ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma))
        for sigma in (1.5, 3.0)
    )
    hu = np.where(inside, 40 + 120 * texture, -1000)
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = [-110, -90, -90]
    return Volume(np.rint(hu).astype(np.int16), affine)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.std()


def fingerprint(name: str, volume: Volume, split: str = "train") -> Fingerprint:
    """The fingerprint of a volume whose axes are near RAS+."""
    coarse = coarse_copy(volume)
    return Fingerprint(
        database="db",
        case=name,
        split=split,
        spacing_mm=volume.spacing_mm,
        exact_hash=exact_hash(volume),
        coarse=coarse,
        profiles=plane_profiles(coarse),
        voxel_profiles=plane_profiles(block_means(volume, [2, 2, 2]).array),
        read=lambda: volume,
    )


def structure(name: str, **values: object) -> StructureMeasure:
    """A structure of 100 voxels; some of its measures replaced."""
    given = {
        "voxels": 100,
        "ml": 10.0,
        "hu": np.array([10.0, 20.0, 30.0, 40.0, 50.0]),
        "centre_mm": np.zeros(3),
        "length_mm": 50.0,
        "largest_share": 1.0,
        "at_end": False,
    } | values
    return StructureMeasure(name=name, **given)


def case_of(
    database: str, case: str, *structures: StructureMeasure
) -> CaseMeasures:
    """A case with these structures and no scan."""
    return CaseMeasures(
        database=database,
        case=case,
        split="train",
        spacing_mm=(2.0, 2.0, 2.0),
        extent_mm=(300.0, 200.0, 250.0),
        couch=None,
        structures=structures,
        faults=(),
        fingerprint=None,
        disagreements=(),
    )
