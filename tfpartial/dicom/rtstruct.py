"""Structure sets (RTSTRUCT): contours to masks on the grid of their CT.

In: a structure set and its image. Out: boolean masks, made when asked for.

1. Vertices are patient mm: the inverse of the image's affine takes them to
   voxel indices, tilted and oblique scans included. Nothing is rounded.
2. A contour belongs to the slice that it lies nearest to. UIDs of images that
   a contour cites are compared where they are known; they are not needed.
3. The contours of one plane are filled by the even-odd rule (`polygons`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfpartial.dicom.contour_planes import Planes, choose_planes
from tfpartial.dicom.geometry import LPS_TO_RAS
from tfpartial.dicom.polygons import fill, snap
from tfpartial.dicom.reading import (
    UnusableError,
    explain_damage,
    read_all,
    text,
)
from tfpartial.dicom.rois import Contour, Roi, read_references, read_rois
from tfpartial.dicom.series import Series
from tfpartial.errors import InputError, join_names, shown
from tfpartial.scans import Grid, Volume

WHAT = "a structure set (DICOM RTSTRUCT)"
# Of a slice step: a contour's vertices may differ so much along K.
MAX_SLANT = 0.25
# Of a slice step: farther from their slice, contours are told.
TOLD_OFFSET = 0.1


@dataclass(frozen=True, eq=False)
class StructureSet:
    """The structures of one file, on the grid of one image.

    Attributes:
        path: of the file.
        rois: in the file's order.
        grid: of the image.
        label: StructureSetLabel.
        date: StructureSetDate, YYYYMMDD.
        approval: ApprovalStatus, such as "APPROVED".
        series: the image, where it was given as such.
    """

    path: Path
    rois: tuple[Roi, ...]
    grid: Grid
    label: str = field(default="", repr=False)
    date: str = field(default="", repr=False)
    approval: str = ""
    series: Series | None = field(default=None, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all structures, as often as they stand."""
        return tuple(roi.name for roi in self.rois)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the structures that have a closed contour."""
        return tuple(roi.name for roi in self.rois if roi.contours)

    def mask(self, name: str) -> np.ndarray:
        """Return where a structure is.

        Args:
            name: one of `names`.

        Returns:
            (I, J, K) bool on `grid`; all False for a structure that was not
            drawn.

        Raises:
            InputError: no such name, or several; another frame of reference;
                contours that cross slices; contours that name another slice
                than the one they lie on.
        """
        roi = self._roi(name)
        self._check_frame(roi)
        i, j, k = self.grid.shape
        mask = np.zeros((k, j, i), bool)
        for plane, polygons in self._planes(roi).used.items():
            mask[plane] = fill(polygons, (i, j)).T
        return mask.T

    def notes(self, name: str) -> tuple[str, ...]:
        """Return what was passed over or moved in a structure, in sentences.

        Raises:
            InputError: as `mask`.
        """
        roi = self._roi(name)
        planes = self._planes(roi)
        where = f"{self.path.name}, structure {shown(name)}"
        told = [
            f"{n} contours of kind {kind} skipped"
            for kind, n in sorted(roi.skipped.items())
        ]
        if planes.outside:
            told.append(f"{planes.outside} contours outside of the image")
        if planes.between:
            told.append(
                f"{planes.between} contours left out: they lie between slices, "
                "others are nearer"
            )
        if planes.offset > TOLD_OFFSET:
            told.append(
                f"contours lie up to {planes.offset:.2g} slice steps off the "
                "slices"
            )
        if planes.twice:
            told.append(f"{planes.twice} contours stand twice: used once")
        if planes.gaps:
            told.append(f"{planes.gaps} slices between contours have none")
        if not roi.contours:
            told.append("not drawn")
        elif self._cites_strangers(roi):
            told.append("names images that are not in the folder")
        return tuple(f"{where}: {sentence}." for sentence in told)

    def _roi(self, name: str) -> Roi:
        found = [roi for roi in self.rois if roi.name == name]
        if len(found) == 1:
            return found[0]
        seen = f"{len(found)} of it" if found else join_names(self.names)
        raise InputError(
            f"{self.path}: expected one structure {shown(name)}, found {seen}. "
            "Name one that is there; rename structures that share a name."
        )

    def _check_frame(self, roi: Roi) -> None:
        known = self.series.frame_of_reference_uid if self.series else ""
        if known and roi.frame_of_reference_uid not in ("", known):
            raise InputError(
                f"{self.path}: expected structure {shown(roi.name)} in the "
                "frame of reference of its image, found another one "
                "(FrameOfReferenceUID). Choose the series it was drawn on."
            )

    def _cites_strangers(self, roi: Roi) -> bool:
        if self.series is None:
            return False
        cited = {uid for contour in roi.contours for uid in contour.cited}
        return bool(cited) and not cited & set(self.series.uids)

    def _planes(self, roi: Roi) -> Planes:
        inverse = np.linalg.inv(self.grid.affine) @ LPS_TO_RAS
        placed = []
        for contour in roi.contours:
            points = contour.points @ inverse[:3, :3].T + inverse[:3, 3]
            if np.ptp(points[:, 2]) > MAX_SLANT:
                raise InputError(
                    f"{self.path}: expected contours of structure "
                    f"{shown(roi.name)} along the slices of the image, found "
                    f"one across {np.ptp(points[:, 2]):.3g} slices. Is it its "
                    "image? Export the structure on its slices."
                )
            plane = float(snap(points[:, 2].mean()))
            self._check_cited(roi, contour, plane)
            placed.append((plane, points[:, :2]))
        return choose_planes(placed, self.grid.shape[2])

    def _check_cited(self, roi: Roi, contour: Contour, plane: float) -> None:
        """A contour lies where the image is that it names."""
        if self.series is None:
            return
        known = [self.series.uids.get(uid, -1) for uid in contour.cited]
        off = [k for k in known if k >= 0 and abs(k - plane) > 1]
        if off:
            raise InputError(
                f"{self.path}: expected a contour of structure "
                f"{shown(roi.name)} at slice {off[0] + 1}, whose image it "
                f"names, found it at slice {plane + 1:.4g}. Export image and "
                "structures again, together."
            )


def read_structures(
    path: str | Path, image: Series | Grid | Volume
) -> StructureSet:
    """Read a structure set; masks are made when they are asked for.

    Args:
        path: of an RTSTRUCT file.
        image: the CT it was drawn on. Frames of reference and UIDs are
            compared where it is a `Series`.

    Raises:
        InputError: damaged, no structure set, numbers of points that do not
            fit their data; all structures in another frame of reference, or
            all outside of the image.
    """
    path = Path(path)
    with explain_damage(path, WHAT):
        dataset = read_all(path)
        if "StructureSetROISequence" not in dataset:
            raise UnusableError("no StructureSetROISequence")
        rois = read_rois(dataset)
        label = text(dataset, "StructureSetLabel")
        date = text(dataset, "StructureSetDate")
        approval = text(dataset, "ApprovalStatus")
    series = image if isinstance(image, Series) else None
    grid = image if isinstance(image, Grid) else image.grid
    found = StructureSet(path, rois, grid, label, date, approval, series)
    _check_whole(found)
    return found


def match_series(path: str | Path, candidates: Sequence[Series]) -> Series:
    """Return the series that a structure set was drawn on.

    The one whose SeriesInstanceUID it names, else whose images, else the
    only one of its frame of reference, else the only one.

    Raises:
        InputError: damaged; none, or several.
    """
    path = Path(path)
    with explain_damage(path, WHAT):
        dataset = read_all(path)
        named, images, frames = read_references(dataset)
    by_rule = (
        [s for s in candidates if s.uid and s.uid in named],
        [s for s in candidates if images & set(s.uids)],
        [s for s in candidates if s.frame_of_reference_uid in frames],
        [s for s in candidates if not s.frame_of_reference_uid or not frames],
    )
    fitting = next((found for found in by_rule if found), [])
    if len(fitting) == 1:
        return fitting[0]
    raise InputError(
        f"{path}: expected one CT series that the structure set was drawn "
        f"on, found {len(fitting)} of {len(candidates)} that fit. Put its CT "
        "beside it, or name the series."
    )


def _check_whole(found: StructureSet) -> None:
    """Refuse a structure set of which nothing belongs to the image.

    Raises:
        InputError: another frame of reference, or all contours outside.
    """
    drawn = [roi for roi in found.rois if roi.contours]
    if not drawn:
        return
    known = found.series.frame_of_reference_uid if found.series else ""
    if known and all(
        roi.frame_of_reference_uid not in ("", known) for roi in drawn
    ):
        raise InputError(
            f"{found.path}: expected the frame of reference of its image, "
            "found another one (FrameOfReferenceUID). Choose the series that "
            "it was drawn on."
        )
    inverse = np.linalg.inv(found.grid.affine) @ LPS_TO_RAS
    last = np.array(found.grid.shape) - 0.5

    def touches(contour: Contour) -> bool:
        points = contour.points @ inverse[:3, :3].T + inverse[:3, 3]
        low, high = points.min(axis=0), points.max(axis=0)
        return bool(((high >= -0.5) & (low <= last)).all())

    if not any(touches(c) for roi in drawn for c in roi.contours):
        raise InputError(
            f"{found.path}: expected contours on the image, found all of them "
            "outside of it. Choose the series that it was drawn on."
        )
