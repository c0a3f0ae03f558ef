"""Small DICOM files of known content, written by pydicom.

In: arrays, affines, contours in voxel indices. Out: files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SPACING = (0.8, 1.1, 2.5)  # along I, J, K


def rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def affine(
    turn: np.ndarray | None = None, step: Sequence[float] | None = None
) -> np.ndarray:
    """Voxel index -> LPS+ mm of slices turned by `turn`; step if tilted."""
    made = np.eye(4)
    made[:3, :3] = (np.eye(3) if turn is None else turn) * SPACING
    if step is not None:
        made[:3, 2] = step
    made[:3, 3] = (-31.5, 17.25, 120.0)
    return made


TILT = affine(rotation("x", 15), (0, 0, 2.5))
PLACES = {
    "axial": affine(),
    "prone": affine(rotation("z", 180)),
    "decubitus": affine(rotation("z", 90)),
    "oblique": affine(rotation("x", 10) @ rotation("z", 7)),
    "tilted": TILT,
}


def random_hu(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-1000, 1500, shape).astype(np.int16)


def file(sop_class: str, modality: str) -> FileDataset:
    uid = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uid
    made.Modality = modality
    made.PatientName, made.PatientID = "Doe^Jane", "DoeJane_1970"
    made.StudyInstanceUID = "1.2.3"
    return made


def series_files(
    hu: np.ndarray,
    place: np.ndarray,
    frame: str = "1.2.3.4",
    series: str = "",
) -> list[FileDataset]:
    """One CT image for each K of (I, J, K) HU at an affine (LPS+)."""
    series = series or generate_uid()
    files = []
    for k in range(hu.shape[2]):
        made = file(CT, "CT")
        made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.SeriesInstanceUID, made.SeriesNumber = series, 2
        made.FrameOfReferenceUID = frame
        made.PatientPosition = "HFS"
        made.SliceThickness = 7  # not the step: nobody may believe it
        put_place(made, place, k)
        put_pixels(made, hu[:, :, k].T + 1024)
        made.RescaleSlope, made.RescaleIntercept = 1, -1024
        files.append(made)
    return files


def put_place(made: Dataset, place: np.ndarray, k: float) -> None:
    columns = place[:3, :2] / np.linalg.norm(place[:3, :2], axis=0)
    made.ImageOrientationPatient = decimal(columns.T.ravel())
    made.ImagePositionPatient = decimal(place[:3, 3] + k * place[:3, 2])
    made.PixelSpacing = [SPACING[1], SPACING[0]]


def decimal(values: np.ndarray) -> list[str]:
    return [f"{value:.9g}" for value in values]


def put_pixels(made: Dataset, values: np.ndarray) -> None:
    """(rows, columns) or (frames, rows, columns), 16 bits unsigned."""
    made.Rows, made.Columns = values.shape[-2:]
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelData = values.astype("<u2").tobytes()


def write(files: Sequence[Dataset], folder: Path) -> Path:
    """Names that sort in another order than the slices; no endings."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, made in enumerate(files):
        syntax = made.file_meta.TransferSyntaxUID
        dcmwrite(
            folder / f"{(index * 7) % 101:03d}_{index}",
            made,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
        )
    return folder


def write_series(folder: Path, hu: np.ndarray, place: np.ndarray) -> Path:
    return write(series_files(hu, place), folder)


def enhanced(hu: np.ndarray, place: np.ndarray, order: Sequence[int]) -> Any:
    """An Enhanced CT whose frames stand in an order of its own."""
    made = file(ENHANCED_CT, "CT")
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.SeriesInstanceUID = generate_uid()
    made.FrameOfReferenceUID = "1.2.3.4"
    made.NumberOfFrames = len(order)
    put_pixels(made, np.stack([hu[:, :, k].T + 1024 for k in order]))
    whole = Dataset()
    put_place(whole, place, 0)
    shared, transformation, axes, measures = (Dataset() for _ in range(4))
    transformation.RescaleSlope, transformation.RescaleIntercept = 1, -1024
    axes.ImageOrientationPatient = whole.ImageOrientationPatient
    measures.PixelSpacing = whole.PixelSpacing
    shared.PixelValueTransformationSequence = [transformation]
    shared.PlaneOrientationSequence = [axes]
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = [frame_at(place, k) for k in order]
    return made


def frame_at(
    place: np.ndarray, k: float, segment: int | None = None
) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ImagePositionPatient = decimal(place[:3, 3] + k * place[:3, 2])
    group.PlanePositionSequence = [position]
    if segment is not None:
        identity = Dataset()
        identity.ReferencedSegmentNumber = segment
        group.SegmentIdentificationSequence = [identity]
    return group


def contour(
    points: Any, place: np.ndarray, k: float, kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """A contour of (N, 2) voxel indices (i, j) on slice k."""
    ij = np.asarray(points, np.float64)
    voxels = np.hstack([ij, np.full((len(ij), 1), k), np.ones((len(ij), 1))])
    made = Dataset()
    made.ContourGeometricType = kind
    made.NumberOfContourPoints = len(ij)
    made.ContourData = decimal((voxels @ place.T)[:, :3].ravel())
    return made


def structure_set(
    structures: dict[str, Sequence[Dataset]], frame: str = "1.2.3.4"
) -> FileDataset:
    made = file(RTSTRUCT, "RTSTRUCT")
    made.SeriesInstanceUID = generate_uid()
    made.StructureSetLabel, made.ApprovalStatus = "plan", "APPROVED"
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frame
        made.StructureSetROISequence.append(roi)
        drawn.ReferencedROINumber = number
        if contours:
            drawn.ContourSequence = list(contours)
        made.ROIContourSequence.append(drawn)
    return made


def segmentation(
    kind: str,
    frames: Sequence[tuple[np.ndarray, float, int | None]],
    place: np.ndarray,
    names: Sequence[str],
) -> FileDataset:
    """A SEG of frames ((I, J) values, k, segment)."""
    made = file(LABELMAP if kind == "LABELMAP" else SEG, "SEG")
    made.SeriesInstanceUID = generate_uid()
    made.FrameOfReferenceUID = "1.2.3.4"
    made.SegmentationType = kind
    made.MaximumFractionalValue = 200
    made.NumberOfFrames = len(frames)
    made.SegmentSequence = []
    for number, name in enumerate(names, 1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, name
        made.SegmentSequence.append(segment)
    whole = Dataset()
    put_place(whole, place, 0)
    shared, axes, measures = Dataset(), Dataset(), Dataset()
    axes.ImageOrientationPatient = whole.ImageOrientationPatient
    measures.PixelSpacing = whole.PixelSpacing
    shared.PlaneOrientationSequence = [axes]
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = [
        frame_at(place, k, segment) for _, k, segment in frames
    ]
    stack = np.stack([values.T for values, _, _ in frames])
    put_pixels(made, stack)
    bits = 1 if kind == "BINARY" else 8
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    flat = stack.astype(np.uint8).ravel()
    packed = np.packbits(flat, bitorder="little") if bits == 1 else flat
    made.PixelData = packed.tobytes() + b"\0" * (packed.size % 2)
    return made
