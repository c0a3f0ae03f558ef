"""Geometry for any scan: there and back, left stays left (coordinates.md)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_geometry import Geometry, geometries, orientations, spacings
from scipy.ndimage import distance_transform_edt

from tfpartial.databases import exact_hash
from tfpartial.scans import (
    Volume,
    canonical_grid,
    check_same_grid,
    read_image,
    resample_image,
    resample_labels,
    restore_labels,
    turn_prone,
    write_volume,
)
from tfpartial.scans.orientation import closest_to_ras, split_affine
from tfpartial.scans.resample import CONCENTRIC_VOXELS, index_map

some = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
seeds = st.integers(0, 2**32 - 1)


def half_diagonal_mm(spacing: object) -> float:
    """The furthest that a point of a voxel is from its centre."""
    return float(np.linalg.norm(spacing)) / 2


@some
@given(geometries(most_degrees=0.0), seeds)
def test_equal_spacing_there_and_back_is_the_identity(
    scan: Geometry, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 9, scan.shape)
    labels = labels.astype(np.uint8)
    directions, own_mm = split_affine(scan.affine)
    spacing = tuple((np.abs(directions) @ own_mm).tolist())
    grid = canonical_grid(scan.shape, scan.affine, spacing)
    there = resample_labels(Volume(labels, scan.affine), grid, fill=255)
    assert sorted(there.shape) == sorted(scan.shape)
    back = restore_labels(there, grid, scan.shape, scan.affine)
    np.testing.assert_array_equal(back, labels)


@some
@given(geometries(), spacings, st.booleans())
def test_indices_there_and_back_are_the_same(
    scan: Geometry, spacing: tuple[float, float, float], prone: bool
) -> None:
    affine = turn_prone(scan.affine) if prone else scan.affine
    grid = canonical_grid(scan.shape, affine, spacing)
    source = Volume(np.zeros(scan.shape, np.uint8), affine).grid
    to_scan, from_scan = index_map(source, grid), index_map(grid, source)
    index = np.array([[0.0, 0, 0], np.array(scan.shape) - 1.0])
    for start in index:
        there = from_scan[0] @ start + from_scan[1]
        back = to_scan[0] @ there + to_scan[1]
        # Nothing but rounding: both ways are about the same centre.
        np.testing.assert_allclose(back, start, atol=2 * CONCENTRIC_VOXELS)
        mm = (grid.affine @ [*there, 1])[:3]
        apart = np.abs(mm - (affine @ [*start, 1])[:3])
        assert (apart < 2 * CONCENTRIC_VOXELS * scan.spacing_mm.max()).all()


@some
@given(geometries(), spacings, seeds)
def test_no_label_moves_beyond_the_documented_tolerance(
    scan: Geometry, spacing: tuple[float, float, float], seed: int
) -> None:
    """Half a voxel there, half a voxel back: half of both diagonals."""
    labels = np.random.default_rng(seed).integers(0, 3, scan.shape)
    labels = labels.repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(np.uint8)
    grid = canonical_grid(labels.shape, scan.affine, spacing)
    there = resample_labels(Volume(labels, scan.affine), grid, fill=0)
    back = restore_labels(there, grid, labels.shape, scan.affine)
    tolerance = half_diagonal_mm(spacing) + half_diagonal_mm(scan.spacing_mm)
    tolerance += 2 * CONCENTRIC_VOXELS * max(*spacing, *scan.spacing_mm)
    # What is outside of a scan is filled with 0.
    margin = int(np.ceil(tolerance / scan.spacing_mm.min())) + 1
    padded = np.pad(labels, margin)
    inner = (slice(margin, -margin),) * 3
    for label in range(3):
        to_label = distance_transform_edt(
            padded != label, sampling=scan.spacing_mm
        )[inner]
        assert to_label[back == label].max(initial=0) <= tolerance
        to_others = distance_transform_edt(
            padded == label, sampling=scan.spacing_mm
        )[inner]
        assert (back[to_others > tolerance] == label).all()


@some
@given(geometries(), spacings, st.tuples(*[st.floats(-20, 20)] * 3))
def test_a_ramp_in_mm_is_the_same_ramp_on_any_grid(
    scan: Geometry,
    spacing: tuple[float, float, float],
    slope: tuple[float, float, float],
) -> None:
    """Linear interpolation is exact for it, wherever a voxel comes to lie."""
    centre = scan.positions_mm().reshape(-1, 3).mean(axis=0)

    def ramp(positions: np.ndarray) -> np.ndarray:
        return (positions - centre) @ np.asarray(slope)

    volume = Volume(ramp(scan.positions_mm()).astype(np.float32), scan.affine)
    grid = canonical_grid(scan.shape, scan.affine, spacing)
    found = resample_image(volume, grid)
    positions = Geometry(grid.shape, grid.affine).positions_mm()
    index = (positions - scan.affine[:3, 3]) @ np.linalg.inv(
        scan.affine[:3, :3]
    ).T
    inside = ((index >= 0) & (index <= np.array(scan.shape) - 1)).all(axis=-1)
    steepest = np.abs(slope).sum() * scan.spacing_mm.max()
    np.testing.assert_allclose(
        found[inside],
        ramp(positions[inside]),
        atol=4 * CONCENTRIC_VOXELS * steepest + 1e-2,
    )


@some
@given(geometries(sizes=(6, 14)), spacings, st.booleans())
def test_left_stays_left(
    scan: Geometry, spacing: tuple[float, float, float], prone: bool
) -> None:
    """RAS+: of two structures, the patient's left one has the smaller x."""
    affine = turn_prone(scan.affine) if prone else scan.affine
    here = Geometry(scan.shape, affine)
    x = here.positions_mm()[..., 0]
    # The eighth of the voxels that is furthest left, and right.
    left, right = np.quantile(x, [0.125, 0.875])
    labels = np.zeros(scan.shape, np.uint8)
    labels[x <= left], labels[x >= right] = 1, 2
    tolerance = half_diagonal_mm(spacing) + half_diagonal_mm(scan.spacing_mm)
    assume(right - left > 2 * tolerance)
    grid = canonical_grid(scan.shape, affine, spacing)
    there = resample_labels(Volume(labels, affine), grid, fill=0)
    # Canonical: axis 0 runs to the patient's right.
    sides = [np.argwhere(there == side)[:, 0] for side in (1, 2)]
    # At a coarse spacing no centre may come to lie in them.
    assume(len(sides[0]) and len(sides[1]))
    assert sides[0].max() < sides[1].min()
    back = restore_labels(there, grid, scan.shape, affine)
    assert x[back == 1].max(initial=left) <= left + tolerance
    assert x[back == 2].min(initial=right) >= right - tolerance


@some
@given(geometries(sizes=(6, 14)), spacings, st.data())
def test_a_crop_is_the_same_place(
    scan: Geometry, spacing: tuple[float, float, float], data: st.DataObject
) -> None:
    """Resampled to one grid, a crop and its scan agree where both are."""
    hu = np.random.default_rng(0).integers(-1000, 1000, scan.shape)
    hu = hu.astype(np.int16)
    start = [data.draw(st.integers(0, n - 4)) for n in scan.shape]
    stop = [
        data.draw(st.integers(s + 3, n))
        for s, n in zip(start, scan.shape, strict=True)
    ]
    box = tuple(map(slice, start, stop))
    affine = scan.affine.copy()
    affine[:3, 3] = (scan.affine @ [*start, 1])[:3]
    grid = canonical_grid(hu[box].shape, affine, spacing)
    cropped = resample_image(Volume(hu[box], affine), grid)
    whole = resample_image(Volume(hu, scan.affine), grid)
    matrix, offset = index_map(Volume(hu[box], affine).grid, grid)
    index = np.stack(np.indices(grid.shape), -1) @ matrix.T + offset
    inside = ((index >= 0) & (index <= np.array(hu[box].shape) - 1)).all(-1)
    np.testing.assert_allclose(
        # A voxel's difference is at most 2,000 HU, along each axis.
        cropped[inside],
        whole[inside],
        atol=3 * 2000 * 2 * CONCENTRIC_VOXELS,
    )


@some
@given(geometries(), st.sampled_from(orientations()), seeds)
def test_another_axis_order_and_origin_is_the_same_scan(
    scan: Geometry, axes: np.ndarray, seed: int
) -> None:
    hu = np.random.default_rng(seed).integers(-1000, 1000, scan.shape)
    hu = hu.astype(np.int16)
    order = np.abs(axes).argmax(axis=0)
    stored, affine = hu.transpose(order), scan.affine.copy()
    affine[:3, :3] = scan.affine[:3, order]
    for axis in range(3):
        if axes[order[axis], axis] < 0:
            stored = np.flip(stored, axis)
            affine[:3, axis] *= -1
    affine[:3, 3] = 7.0  # copies are often re-centred
    # Where two orders of the axes are equally close, either is right.
    cosines = np.abs(split_affine(scan.affine)[0])
    *_, second, first = sorted(
        cosines[range(3), list(order)].sum()
        for order in itertools.permutations(range(3))
    )
    assume(first - second > 1e-6)
    assert exact_hash(Volume(stored, affine)) == exact_hash(
        Volume(hu, scan.affine)
    )
    other = hu.copy()
    other.flat[seed % hu.size] += 1
    assert exact_hash(Volume(stored, affine)) != exact_hash(
        Volume(other, scan.affine)
    )


@some
@given(geometries(most_degrees=180.0))
def test_reordering_brings_each_axis_closest_to_its_own(
    scan: Geometry,
) -> None:
    array = np.arange(np.prod(scan.shape)).reshape(scan.shape)
    grid = Volume(array, scan.affine).grid
    order = closest_to_ras(split_affine(scan.affine)[0])
    there, moved = order.apply(array), order.apply_to_grid(grid)
    np.testing.assert_array_equal(order.undo(there), array)
    along = np.diag(moved.affine)[:3]
    assert (along >= 0).all()
    index = tuple(n - 1 for n in there.shape)
    place = np.argwhere(array == there[index])[0]
    np.testing.assert_allclose(
        moved.affine @ [*index, 1], scan.affine @ [*place, 1], atol=1e-9
    )


@settings(some, max_examples=25)
@given(geometries(most_degrees=180.0), seeds)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_gives_back_voxels_and_grid(
    tmp_path, ending: str, scan: Geometry, seed: int
) -> None:
    hu = np.random.default_rng(seed).integers(-1000, 3000, scan.shape)
    written = Volume(hu.astype(np.int16), scan.affine)
    path = tmp_path / f"scan{ending}"
    write_volume(path, written)
    found = read_image(path)
    assert found.array.dtype == np.int16
    np.testing.assert_array_equal(found.array, written.array)
    assert check_same_grid(written, found, path, path) < 1e-3
