"""Real DICOM against independent readers and masks.

Needs the folder that TFPARTIAL_DICOM names (about 24 MB, with a README.md and
tools/make_variants.py); skipped where it is not set.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import made_dicom as made
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Outline
from shared_folder import made_once

from tfpartial.dicom import (
    find,
    find_series,
    match_series,
    read_segments,
    read_structures,
)
from tfpartial.errors import InputError
from tfpartial.scans import Grid

if "TFPARTIAL_DICOM" not in os.environ:
    pytest.skip(
        "TFPARTIAL_DICOM does not name the folder of real DICOM data",
        allow_module_level=True,
    )
DATA = Path(os.environ["TFPARTIAL_DICOM"])
PATIENTS = ("STS_019", "STS_035", "STS_040")
# Of plain files, as SimpleITK's GDCM reads them.
IMAGES = (
    *(f"ibsi_sts/{patient}/ct" for patient in PATIENTS),
    "totalseg_j2k",
    "dcmqi/ct-3slice",
    "dcmqi/23x38x3/image",
    "dcmqi/24x38x3/image",
    "rtutils_mim",
    "rtutils_oblique",
)


def only(path):
    (series,) = find_series(path)
    return series


def check_same(volume, image) -> None:
    """Voxels and places are those of a SimpleITK image."""
    array = sitk.GetArrayFromImage(image).T
    if volume.array.dtype.kind == "i":
        np.testing.assert_array_equal(volume.array, array)
    else:
        np.testing.assert_allclose(volume.array, array, atol=1e-5)
    for corner in (0, 0, 0), [n - 1 for n in volume.shape]:
        there = image.TransformIndexToPhysicalPoint([int(n) for n in corner])
        np.testing.assert_allclose(
            (volume.affine @ [*corner, 1])[:3],
            np.array(there) * (-1, -1, 1),
            atol=1e-3,
        )


@pytest.mark.parametrize("folder", IMAGES)
def test_series_are_those_that_gdcm_reads(folder):
    series = only(DATA / folder)
    files = sorted(
        series.slices, key=lambda part: part.plane.position @ part.plane.normal
    )
    image = sitk.ReadImage([str(part.file.path) for part in files])
    check_same(series.read(), image)


@pytest.mark.parametrize("size", ["23x38x3", "24x38x3"])
def test_multi_frame_ct_is_that_of_its_single_slices(size):
    folder = DATA / "dcmqi" / size
    many = only(folder / "multiframe").read()
    single = only(folder / "image").read()
    np.testing.assert_array_equal(many.array, single.array)
    np.testing.assert_allclose(many.affine, single.affine, atol=1e-5)


def test_an_enhanced_ct_of_grey_values_is_read_a_colour_map_is_not(tmp_path):
    path = DATA / "pydicom" / "eCT_Supplemental.dcm"
    assert find(path).others == {"colour map (perfusion)": 1}
    image = pydicom.dcmread(path)
    image.PixelPresentation = "MONOCHROME"
    image.save_as(tmp_path / "grey")
    volume = only(tmp_path).read()
    stored = image.pixel_array.astype(int) - 1024
    positions = [
        frame.PlanePositionSequence[0].ImagePositionPatient[2]
        for frame in image.PerFrameFunctionalGroupsSequence
    ]
    # Rows run to the right: the normal points to the feet.
    order = np.argsort(positions)[::-1]
    np.testing.assert_array_equal(volume.array, stored[order].T)
    assert volume.affine[0, 0] > 0


@pytest.mark.parametrize("patient", PATIENTS)
def test_masks_are_those_of_mirp(patient):
    reference = nibabel.load(DATA / "ibsi_sts" / patient / "mirp_mask.nii.gz")
    found = find(DATA / "ibsi_sts" / patient)
    (path,) = found.structure_sets
    structures = read_structures(path, match_series(path, found.series))
    mask = structures.mask("GTV_Mass_CT")
    np.testing.assert_array_equal(mask, np.asarray(reference.dataobj) > 0)
    np.testing.assert_allclose(
        structures.grid.affine, reference.affine, atol=1e-4
    )
    assert "not in the folder" in structures.notes("GTV_Mass_CT")[0]


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    def make(folder: Path) -> None:
        for patient in PATIENTS:
            subprocess.run(
                [
                    sys.executable,
                    DATA / "tools" / "make_variants.py",
                    DATA / "ibsi_sts" / patient,
                    folder / patient,
                ],
                check=True,
            )

    return made_once(tmp_path_factory, "dicom_variants", make)


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize("variant", ["hfp", "hfdl", "obl10", "tilt15"])
def test_masks_are_the_same_voxels_however_the_patient_lies(
    variants, patient, variant
):
    reference = nibabel.load(DATA / "ibsi_sts" / patient / "mirp_mask.nii.gz")
    found = find(variants / patient / f"v_{variant}")
    (path,) = found.structure_sets
    mask = read_structures(path, found.series[0]).mask("GTV_Mass_CT")
    np.testing.assert_array_equal(mask, np.asarray(reference.dataobj) > 0)
    np.testing.assert_array_equal(
        found.series[0].read().array,
        only(DATA / "ibsi_sts" / patient / "ct").read().array,
    )


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("missing", "6.54 mm between slices 30 and 31 .c029.dcm, c031.dcm"),
        ("nonuni", "mm is usual"),
    ],
)
def test_missing_and_uneven_slices_are_named(variants, patient, variant, words):
    (series,) = find(variants / patient / f"v_{variant}").series
    with pytest.raises(InputError, match=words):
        series.read()


def exact_ml(contours, step: float) -> float:
    """Polygon areas, holes taken off by how deep they lie, x slice step."""
    planes: dict[float, list[np.ndarray]] = {}
    for contour in contours:
        z = round(float(contour.points[0, 2]), 2)
        planes.setdefault(z, []).append(contour.points[:, :2])
    area = 0.0
    for polygons in planes.values():
        for polygon in polygons:
            x, y = polygon.T
            size = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
            depth = sum(
                Outline(other).contains_points(polygon[::5]).mean() > 0.5
                for other in polygons
                if other is not polygon
            )
            area += size * (-1) ** depth
    return area * step / 1000


# Of README.md: ml by exact polygon areas.
EXACT_ML = {"Lt Lung": 2005, "Heart": 439.7, "Tumor Bed": 13.2}
BREAST = (
    "BODY",
    "Borders",
    "Breast",
    "Heart",
    "Lt Lung",
    "Nodes",
    "Scar",
    "Tumor Bed",
    "Tumor Bed Block",
)


@pytest.fixture(scope="session")
def breast(tmp_path_factory):
    """The structure set with CT slices where its contours are."""
    path = DATA / "dicompyler_breast" / "rtss.dcm"
    first = pydicom.dcmread(DATA / "dicompyler_breast" / "ct.0.dcm")
    z = sorted(
        {
            round(float(contour.ContourData[2]), 3)
            for roi in pydicom.dcmread(path).ROIContourSequence
            for contour in roi.get("ContourSequence", [])
        }
    )
    step = min(b - a for a, b in zip(z[:-1], z[1:], strict=True))

    def make(folder: Path) -> None:
        for k in range(round((z[-1] - z[0]) / step) + 1):
            first.SOPInstanceUID = f"1.2.3.{k}"
            x, y, _ = first.ImagePositionPatient
            first.ImagePositionPatient = [x, y, z[0] + k * step]
            first.save_as(folder / str(k))

    folder = made_once(tmp_path_factory, "dicom_breast", make)
    return read_structures(path, only(folder))


# 100 to 300 voxels each: their centres cannot tell 0.5 % of a volume.
FEW_VOXELS = ("Borders", "Nodes", "Scar")


@pytest.mark.parametrize("name", BREAST)
def test_volumes_are_those_of_the_polygons(breast, name):
    (roi,) = [roi for roi in breast.rois if roi.name == name]
    exact = exact_ml(roi.contours, breast.grid.spacing_mm[2])
    found = ml(breast, name)
    print(f"{name}: {exact:.2f} ml, {100 * (found / exact - 1):+.2f} %")
    if name in EXACT_ML:
        assert exact == pytest.approx(EXACT_ML[name], rel=0.005)
    if name not in FEW_VOXELS:
        assert found == pytest.approx(exact, rel=0.005)
        return
    assert found == pytest.approx(exact, rel=0.03)
    finer = dataclasses.replace(breast, grid=finer_grid(breast.grid, 4))
    assert ml(finer, name) == pytest.approx(exact, rel=0.005)


def ml(structures, name: str) -> float:
    voxel = np.prod(structures.grid.spacing_mm)
    return structures.mask(name).sum() * voxel / 1000


def finer_grid(grid: Grid, times: int) -> Grid:
    """The same slices with so many more pixels along I and J."""
    i, j, k = grid.shape
    to_coarse = np.diag([1 / times, 1 / times, 1, 1])
    to_coarse[:2, 3] = (1 / times - 1) / 2
    return Grid((i * times, j * times, k), grid.affine @ to_coarse)


def test_a_structure_that_was_not_drawn_is_told(breast):
    assert set(breast.names) == {*BREAST, "Areola"}
    assert "Areola" not in breast.drawn
    assert not breast.mask("Areola").any()


def nrrd(name: str) -> np.ndarray:
    image = sitk.ReadImage(str(DATA / "dcmqi" / name))
    return sitk.GetArrayFromImage(image).T


@pytest.mark.parametrize(
    ("image", "path", "masks"),
    [
        ("ct-3slice", "liver.dcm", {1: ("liver_seg.nrrd", 1)}),
        (
            "ct-3slice",
            "partial_overlaps.dcm",
            {
                1: ("partial_overlaps-1.nrrd", 1),
                2: ("partial_overlaps-2.nrrd", 2),
                3: ("partial_overlaps-3.nrrd", 3),
                4: ("partial_overlaps-1.nrrd", 4),
                5: ("partial_overlaps-1.nrrd", 5),
            },
        ),
        (
            "23x38x3/image",
            "23x38x3/seg/label.seg",
            {1: ("23x38x3/nrrd/label.nrrd", 1)},
        ),
        (
            "24x38x3/multiframe",
            "24x38x3/seg/label.seg",
            {1: ("24x38x3/nrrd/label.nrrd", 1)},
        ),
        (
            "24x38x3/image",
            "sparse-labelmap-noppv.dcm",
            {1: ("sparse_labelmap_noppv_seg.nrrd", 1)},
        ),
        (
            "24x38x3/image",
            "sparse-labelmap-ppv5.dcm",
            {1: ("sparse_labelmap_ppv5_seg.nrrd", 1)},
        ),
    ],
)
def test_segments_are_those_of_dcmqi(image, path, masks):
    found = read_segments(DATA / "dcmqi" / path, only(DATA / "dcmqi" / image))
    assert {segment.number for segment in found.segments} == set(masks)
    for number, (name, value) in masks.items():
        np.testing.assert_array_equal(found.mask(number), nrrd(name) == value)


def test_everything_in_the_folder_is_something():
    found = find(DATA)
    assert len(found.series) == 13
    assert len(found.structure_sets) == 9
    assert len(found.segmentations) == 6


def test_keyholes_of_a_plan_without_images(tmp_path):
    """mim_pancreas has no CT: one is made where its contours are."""
    path = DATA / "mim_pancreas" / "RS.dcm"
    plan = pydicom.dcmread(path)
    points = np.concatenate(
        [
            np.array(contour.ContourData, float).reshape(-1, 3)
            for roi in plan.ROIContourSequence
            for contour in roi.ContourSequence
        ]
    )
    z = np.unique(points[:, 2].round(2))
    place = np.diag([1.0, 1.0, np.diff(z).min(), 1.0])
    place[:3, 3] = [*(points[:, :2].min(axis=0) - 3.21), z[0]]
    shape = tuple(
        int(n)
        for n in (points.max(axis=0) - place[:3, 3]) / np.diag(place)[:3] + 4.5
    )
    affine = made.LPS_TO_RAS @ place
    grid = Grid(shape, affine)
    structures = read_structures(path, grid)
    for roi in structures.rois:
        exact = exact_ml(roi.contours, grid.spacing_mm[2])
        found = ml(structures, roi.name)
        print(f"{roi.name}: {exact:.1f} ml {100 * (found / exact - 1):+.2f} %")
        assert found == pytest.approx(exact, rel=0.005)
