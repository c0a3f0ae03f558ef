"""The two forms of a NIfTI header: which decides, and both kept as they are.

In: headers. Out: an affine with what the file says besides it; `Forms`, which
write a scan's sform and qform, codes included, into what is made from it.
Source: nifti1.h, "methods" 2 (qform) and 3 (sform) of orientation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from tfpartial.errors import InputError
from tfpartial.scans.orientation import shear_degrees
from tfpartial.scans.volume import (
    SAME_GRID_VOXELS,
    Header,
    Placement,
    largest_distance_mm,
    spacing_of,
)

_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True)
class Forms:
    """The fields of a header that place voxels, as stored.

    Attributes:
        is_nifti2: stored in 64 bits, else in 32.
        fields: name -> numbers.
        pixdim: its first four: the sign of the qform's third axis, spacing.
    """

    is_nifti2: bool
    fields: tuple[tuple[str, tuple[float, ...]], ...]
    pixdim: tuple[float, ...]

    def new_header(self) -> nibabel.Nifti1Header:
        """Return a header of one file that has these forms, and no more."""
        header = (nibabel.Nifti1Header, nibabel.Nifti2Header)[self.is_nifti2]()
        for name, numbers in self.fields:
            header[name] = np.reshape(numbers, header[name].shape)
        header["pixdim"][:4] = self.pixdim
        return header


def stored_forms(header: nibabel.Nifti1Header) -> Forms:
    """Return the forms of a header, unrepaired."""
    return Forms(
        isinstance(header, nibabel.Nifti2Header),
        tuple((n, tuple(np.ravel(header[n]).tolist())) for n in _FIELDS),
        tuple(header["pixdim"][:4].tolist()),
    )


def forms_of(affine: np.ndarray) -> Forms:
    """Return both forms, with code 1, of voxels that have no header yet.

    A qform cannot hold shear: it is left out there.
    """
    header = nibabel.Nifti1Header()
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=int(shear_degrees(affine) == 0))
    return stored_forms(header)


def place_of(
    raw: nibabel.Nifti1Header,
    checked: nibabel.Nifti1Header,
    placement: Placement,
    path: Path,
) -> tuple[np.ndarray, Header]:
    """Return the affine that decides, and what else the header says.

    Args:
        raw: the header as it stands.
        checked: as nibabel repairs it.
        placement: what is declared of ambiguous headers.
        path: named in messages.

    Raises:
        InputError: no form at all.
    """
    affines = {}
    with np.errstate(all="ignore"):
        if checked["sform_code"] > 0:
            affines["sform"] = np.asarray(checked.get_sform(), np.float64)
        if checked["qform_code"] > 0:
            affines["qform"] = np.asarray(checked.get_qform(), np.float64)
    if not affines and placement.orientation is not None:
        affine = _stated_affine(raw, placement.orientation)
        return affine, Header("orientation", {}, stored_forms(raw), placement)
    if not affines:
        raise InputError(
            f"{path}: expected an sform or a qform, found both codes 0: the "
            "scan has no orientation, left and right are unknown. Convert it "
            "again from the original (DICOM); or, if you know where its axes "
            "point, declare `orientation` in the database (such as LAS: left, "
            "anterior, head), predict.orientation for `predict`."
        )
    name = placement.affine if placement.affine in affines else [*affines][0]
    affine = affines.pop(name)
    return affine, Header(name, affines, stored_forms(raw), placement)


def check_forms_agree(
    shape: tuple[int, int, int], affine: np.ndarray, header: Header, path: Path
) -> None:
    """Refuse two forms that disagree, unless one is declared to decide.

    Raises:
        InputError: a voxel centre is further apart than a tenth of the
            smallest spacing.
    """
    if header.placement.affine is not None:
        return
    for name, other in header.other_affines.items():
        off = largest_distance_mm(shape, affine, other)
        if off <= SAME_GRID_VOXELS * min(spacing_of(affine)):
            continue
        raise InputError(
            f"{path}: expected sform and qform to say the same, found voxels "
            f"up to {off:.4g} mm apart: the {header.decided_by} is "
            f"{affine[:3].round(4).tolist()}, the {name} "
            f"{other[:3].round(4).tolist()}.{_about_tilt(affine)} "
            "Programs differ in which they follow, even left and right may be "
            "exchanged. Look which of them fits the annotations. Declare it "
            "in the database, `affine: sform` or `affine: qform` "
            "(predict.affine for `predict`), or write the header again."
        )


def _about_tilt(affine: np.ndarray) -> str:
    degrees = shear_degrees(affine)
    if not degrees:
        return ""
    return (
        f" The first has voxel axes {degrees:.3g} degrees off right angles "
        "(gantry tilt), which no qform can hold."
    )


def _stated_affine(raw: nibabel.Nifti1Header, letters: str) -> np.ndarray:
    """Return axes along the letters, pixdim apart, the first voxel at 0 mm."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for axis, (letter, mm) in enumerate(
        zip(letters, raw["pixdim"][1:4], strict=True)
    ):
        world, against = divmod("RLAPSI".index(letter), 2)
        affine[world, axis] = -float(mm) if against else float(mm)
    return affine
