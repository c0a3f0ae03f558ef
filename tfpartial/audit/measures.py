"""One case -> the numbers that the audit compares; no voxel is kept.

In: a case of a database, maybe a prediction. Out: `CaseMeasures`, which names
no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from tfpartial.audit.checks.disagreement import Disagreement, disagreements
from tfpartial.audit.checks.position import couch_side
from tfpartial.audit.coarse import block_means, coarse_copy
from tfpartial.audit.same_scan.fingerprint import Fingerprint
from tfpartial.audit.same_scan.profiles import plane_profiles
from tfpartial.config import Database
from tfpartial.databases import Case, exact_hash, read_case, stored_values
from tfpartial.errors import Faults, InputError
from tfpartial.evaluation.predictions import read_prediction
from tfpartial.labels import LabelSpace
from tfpartial.metrics.groups import Structure, structures_of
from tfpartial.metrics.overlap import volume_ml
from tfpartial.reporting.views import Frame
from tfpartial.scans import Volume
from tfpartial.scans.formats import names_path

HU_PERCENTILES = (5, 25, 50, 75, 95)
# Nearer to the first or last plane, a structure may be cut off.
END_MM = 6.0


@dataclass(frozen=True, eq=False)
class StructureMeasure:
    """One annotated structure of one case.

    Attributes:
        name: label, or 'A+B' for a merged structure.
        voxels: how many belong to it.
        ml: their volume.
        hu: (5,) percentiles 5, 25, 50, 75, 95 under it; NaN if empty.
        centre_mm: (3,) mean position, patient RAS; NaN if empty.
        length_mm: extent along the patient's long axis.
        largest_share: of its voxels, in the largest connected piece.
        at_end: reaches to within 6 mm of the scan's end along z.
    """

    name: str
    voxels: int
    ml: float
    hu: np.ndarray
    centre_mm: np.ndarray
    length_mm: float
    largest_share: float
    at_end: bool


@dataclass(frozen=True, eq=False)
class CaseMeasures:
    """One case, as far as its files could be read.

    Attributes:
        database: name.
        case: case id.
        split: train, validation or test.
        spacing_mm: (3,), near-RAS axis order.
        extent_mm: (3,), the same.
        couch: "anterior", "posterior" or None where none is seen.
        structures: what the case annotates; empty if it could not be read.
        faults: what a build would say, without file names.
        fingerprint: None if the scan could not be read.
        disagreements: with a prediction; empty without one.
    """

    database: str
    case: str
    split: str
    spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    couch: str | None
    structures: tuple[StructureMeasure, ...]
    faults: tuple[str, ...]
    fingerprint: Fingerprint | None
    disagreements: tuple[Disagreement, ...]

    @property
    def name(self) -> str:
        """'database/case'."""
        return f"{self.database}/{self.case}"


@dataclass(frozen=True)
class MeasureJob:
    """One case to measure; travels to a worker process.

    Attributes:
        case: of `find_cases`.
        database: the case's database.
        space: the label space.
        split: of the case.
        prediction: label indices on the scan's grid; None without.
    """

    case: Case
    database: Database
    space: LabelSpace
    split: str
    prediction: Path | None


def measure_case(job: MeasureJob) -> CaseMeasures:
    """Measure one case; faults of its files become a part of the result."""
    case = job.case
    faults = Faults()
    try:
        image, stored = read_case(case, job.database, job.space, faults)
    except InputError as error:
        faults.add(error)
        return _unread(job, faults)
    patient = case.in_patient_frame(image)
    frame = Frame(patient.grid)
    near_ras = Volume(frame.reorder(image.array), frame.grid.affine)
    differences: tuple[Disagreement, ...] = ()
    structures = structures_of(
        stored_values(job.database, job.space).sets,
        case.annotated,
        job.space,
    )
    if job.prediction is not None:
        with faults.collect():
            predicted = read_prediction(
                job.prediction, image, case.source.name, job.space
            )
            differences = disagreements(
                stored.array, predicted, structures, stored.spacing_mm
            )
    codes = frame.reorder(stored.array)
    fingerprint = fingerprint_of(job, near_ras)
    x, y, z = near_ras.spacing_mm
    i, j, k = near_ras.shape
    return CaseMeasures(
        database=case.database,
        case=case.case_id,
        split=job.split,
        spacing_mm=(x, y, z),
        extent_mm=(x * i, y * j, z * k),
        couch=couch_side(fingerprint.coarse),
        structures=tuple(
            measure_structure(structure, codes, near_ras)
            for structure in structures
        ),
        faults=without_paths(faults, job),
        fingerprint=fingerprint,
        disagreements=differences,
    )


def measure_structure(
    structure: Structure, codes: np.ndarray, image: Volume
) -> StructureMeasure:
    """Measure one structure on the scan's own voxels.

    Args:
        structure: of `structures_of`.
        codes: (I, J, K) stored codes, axes near RAS+.
        image: the scan, HU, with the same axes.
    """
    mask = structure.inside[codes]
    where = np.nonzero(mask)
    voxels = len(where[0])
    if voxels == 0:
        nowhere = np.full(3, np.nan)
        return StructureMeasure(
            structure.name, 0, 0.0, np.full(5, np.nan), nowhere, 0.0, 1.0, False
        )
    centre = np.array([axis.mean() for axis in where])
    low, high = int(where[2].min()), int(where[2].max())
    box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in where)
    pieces, _ = ndimage.label(mask[box], np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    return StructureMeasure(
        name=structure.name,
        voxels=voxels,
        ml=volume_ml(mask, image.spacing_mm),
        hu=np.percentile(image.array[mask], HU_PERCENTILES),
        centre_mm=image.affine[:3, :3] @ centre + image.affine[:3, 3],
        length_mm=(high - low + 1) * image.spacing_mm[2],
        largest_share=float(sizes.max() / voxels),
        at_end=min(low, mask.shape[2] - 1 - high)
        < END_MM / image.spacing_mm[2],
    )


def fingerprint_of(job: MeasureJob, near_ras: Volume) -> Fingerprint:
    """Return what finds this scan again."""
    coarse = coarse_copy(near_ras)
    halved = block_means(near_ras, [2, 2, 2])
    return Fingerprint(
        database=job.case.database,
        case=job.case.case_id,
        split=job.split,
        spacing_mm=near_ras.spacing_mm,
        exact_hash=exact_hash(near_ras),
        coarse=coarse,
        profiles=plane_profiles(coarse),
        voxel_profiles=plane_profiles(halved.array),
        read=partial(read_near_ras, job.case),
    )


def read_near_ras(case: Case) -> Volume:
    """Read a scan with its axes in the order and direction of RAS+."""
    image = case.source.read_image()
    patient = case.in_patient_frame(image)
    frame = Frame(patient.grid)
    return Volume(frame.reorder(image.array), frame.grid.affine)


def without_paths(faults: Faults, job: MeasureJob) -> tuple[str, ...]:
    """Return faults with every file named by its role, not by its path.

    A report is passed on: where scans lie may name patients.
    """
    source = job.case.source
    roles = {
        str(path): f"the {role}"
        for role, paths in source.files.items()
        for path in paths
    }
    roles[source.name] = "the scan"
    if job.prediction is not None:
        roles[str(job.prediction)] = "the prediction"
        beside = str(names_path(job.prediction))
        roles[beside] = "the names beside the prediction"
    texts = list(faults.found)
    # The longest first: one path may begin like another.
    for path in sorted(roles, key=len, reverse=True):
        texts = [text.replace(path, roles[path]) for text in texts]
    return tuple(texts)


def _unread(job: MeasureJob, faults: Faults) -> CaseMeasures:
    """Return what is known of a case whose scan could not be read."""
    return CaseMeasures(
        database=job.case.database,
        case=job.case.case_id,
        split=job.split,
        spacing_mm=(np.nan, np.nan, np.nan),
        extent_mm=(np.nan, np.nan, np.nan),
        couch=None,
        structures=(),
        faults=without_paths(faults, job),
        fingerprint=None,
        disagreements=(),
    )
