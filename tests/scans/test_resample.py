"""Grids, resampling against slow twins, there and back."""

import itertools

import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.scans import (
    Grid,
    Volume,
    canonical_grid,
    resample_image,
    resample_labels,
    restore_labels,
    turn_prone,
)
from tfpartial.scans.resample import index_map

# float32 output of values up to 1000.
LINEAR_TOLERANCE = 1e-3


def _rotation(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    a, b = [n for n in range(3) if n != axis]
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def _tilt(degrees):
    matrix = np.eye(3)
    matrix[1, 2] = np.tan(np.radians(degrees))
    return matrix


def _affine(matrix, origin=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = origin
    return affine


def _orientations():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), range(3)] = signs
            yield matrix


def _twin(array, affine, grid, fill, linear):
    """One voxel at a time, through millimetres.

    A canonical grid of odd size over a scan of even size has its middle
    samples exactly between two voxels: those take the one further to +x, +y
    or +z, whatever the rounding.
    """
    along = affine[:3, :3]
    nudge = 1e-6 * np.sign(along[np.abs(along).argmax(axis=0), range(3)])
    result = np.empty(grid.shape)
    last = np.array(array.shape) - 1
    to_index = np.linalg.inv(affine) @ grid.affine
    for index in np.ndindex(grid.shape):
        where = (to_index @ [*index, 1.0])[:3]
        if (where < -0.5).any() or (where >= last + 0.5).any():
            result[index] = fill
            continue
        if not linear:
            nearest = np.floor(where + nudge + 0.5).astype(int)
            result[index] = array[tuple(nearest)]
            continue
        where = where.clip(0, last)
        low = np.floor(where).astype(int)
        share = where - low
        total = 0.0
        for step in itertools.product((0, 1), repeat=3):
            weight = np.prod(np.where(step, share, 1 - share))
            total += weight * array[tuple(np.minimum(low + step, last))]
        result[index] = total
    return result


def _random_scan(seed, degrees=0.0, tilt=0.0):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(4, 9, 3))
    axes = list(_orientations())[rng.integers(48)]
    matrix = axes * rng.uniform(0.7, 3, 3)
    affine = _affine(
        _rotation(degrees, seed % 3) @ _tilt(tilt) @ matrix,
        rng.normal(0, 50, 3),
    )
    return rng, shape, affine


@pytest.mark.parametrize(
    ("degrees", "tilt"), [(0, 0), (10, 0), (35, 0), (0, 15), (10, 8), (0, 0.3)]
)
@pytest.mark.parametrize("seed", range(4))
def test_linear_equals_its_slow_twin(seed, degrees, tilt):
    rng, shape, affine = _random_scan(seed, degrees, tilt)
    array = rng.integers(-1000, 1000, shape).astype(np.int16)
    grid = canonical_grid(shape, affine, tuple(rng.uniform(0.8, 3, 3)))
    found = resample_image(Volume(array, affine), grid, fill=-1000)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(
        found, _twin(array, affine, grid, -1000, True), atol=LINEAR_TOLERANCE
    )


@pytest.mark.parametrize(
    ("degrees", "tilt"), [(0, 0), (10, 0), (35, 0), (0, 15), (10, 8), (0, 0.3)]
)
@pytest.mark.parametrize("seed", range(4))
def test_nearest_equals_its_slow_twin(seed, degrees, tilt):
    rng, shape, affine = _random_scan(seed, degrees, tilt)
    array = rng.integers(0, 200, shape).astype(np.uint8)
    grid = canonical_grid(shape, affine, tuple(rng.uniform(0.8, 3, 3)))
    found = resample_labels(Volume(array, affine), grid, fill=255)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _twin(array, affine, grid, 255, False))


@pytest.mark.parametrize("tilt", [0, 15])
def test_restoring_equals_its_slow_twin(tilt):
    rng, shape, affine = _random_scan(5, 20.0, tilt)
    grid = canonical_grid(shape, affine, (1.1, 1.3, 1.7))
    labels = rng.integers(0, 9, grid.shape).astype(np.int32)
    found = restore_labels(labels, grid, shape, affine)
    target = Grid(shape, affine)
    np.testing.assert_array_equal(
        found, _twin(labels, grid.affine, target, -1, False)
    )
    assert found.dtype == np.int32


@pytest.mark.parametrize("matrix", list(_orientations()))
def test_there_and_back_is_identity_at_equal_spacing(matrix):
    rng = np.random.default_rng(1)
    spacing = np.array([0.9, 1.7, 2.5])
    affine = _affine(matrix * spacing, (-31.7, 112.3, -840.1))
    array = rng.integers(0, 200, (5, 6, 7)).astype(np.uint8)
    world_spacing = tuple(np.abs(matrix) @ spacing)
    grid = canonical_grid(array.shape, affine, world_spacing)
    assert sorted(grid.shape) == [5, 6, 7]
    labels = resample_labels(Volume(array, affine), grid, fill=255)
    image = resample_image(Volume(array, affine), grid)
    assert (labels == image).all()
    assert (restore_labels(labels, grid, array.shape, affine) == array).all()


def test_equal_spacing_gives_the_scans_own_grid():
    affine = _affine(np.diag([2.0, 3.0, 4.0]), (-10.0, 20.0, 30.0))
    grid = canonical_grid((4, 5, 6), affine, (2.0, 3.0, 4.0))
    assert grid.shape == (4, 5, 6)
    np.testing.assert_allclose(grid.affine, affine, atol=1e-12)


def test_grid_is_centred_and_counts_voxel_edges():
    # Edges: 5 voxels of 1 mm = 5 mm, from -0.5 to 4.5; 3 voxels of 2 mm.
    grid = canonical_grid((5, 5, 5), np.eye(4), (2.0, 2.0, 2.0))
    assert grid.shape == (3, 3, 3)
    np.testing.assert_allclose(grid.affine[:3, 3], 2 - 2)
    # A single voxel still gives one.
    assert canonical_grid((1, 1, 1), np.eye(4), (9, 9, 9)).shape == (1, 1, 1)


def test_rounded_header_does_not_add_a_voxel():
    stored = float(np.float32(1.1))
    assert stored > 1.1
    affine = _affine(np.diag([stored] * 3))
    assert canonical_grid((9, 9, 9), affine, (1.1,) * 3).shape == (9, 9, 9)


def test_halfway_takes_the_higher_voxel_whatever_the_rounding():
    labels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    for own, ratio in np.random.default_rng(4).uniform(1.4, 1.9, (200, 2)):
        for sign in (1, -1):
            affine = _affine(np.diag([sign * own, 1, 1]), (-301.7, 0, 0))
            # Three samples over four voxels: the second is in the middle.
            grid = canonical_grid((4, 1, 1), affine, (ratio * own, 1, 1))
            found = resample_labels(Volume(labels, affine), grid, fill=9)
            assert found.shape == (3, 1, 1)
            assert found[1, 0, 0] == (2 if sign > 0 else 1)


def test_header_noise_between_image_and_labels_moves_no_label():
    labels = np.random.default_rng(6).integers(0, 9, (8, 8, 8)).astype(np.uint8)
    affine = _affine(np.eye(3), (-250.3, 0, 0))
    grid = canonical_grid(labels.shape, affine, (2.0, 2.0, 2.0))  # all ties
    exact = resample_labels(Volume(labels, affine), grid, 0)
    for noise in (-3e-4, 3e-4):
        moved = affine + _affine(np.zeros((3, 3)), (noise,) * 3)
        moved[3] = affine[3]
        found = resample_labels(Volume(labels, moved), grid, 0)
        assert (found == exact).all()


def test_oblique_grid_covers_the_rotated_box():
    affine = _affine(_rotation(45, 2))
    grid = canonical_grid((10, 10, 4), affine, (1.0, 1.0, 1.0))
    side = int(np.ceil(10 * np.sqrt(2)))
    assert grid.shape == (side, side, 4)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.8, 2.4, 5.0)])
def test_copies_in_other_axis_orders_give_the_same_array(spacing):
    """The second spacing is the scan's doubled: all samples are ties."""
    rng = np.random.default_rng(2)
    ras = _affine(np.diag([0.9, 1.2, 2.5]), (-203.7, 77.31, -901.3))
    hu = rng.integers(-1000, 1000, (9, 8, 7)).astype(np.int16)
    labels = rng.integers(0, 9, hu.shape).astype(np.uint8)
    results = []
    for turn in _orientations():
        order = np.abs(turn).argmax(axis=0)
        copies, affine = [], ras.copy()
        for array in (hu, labels):
            copies.append(array.transpose(order))
        affine[:3, :3] = ras[:3, :3][:, order]
        for axis in range(3):
            if turn[order[axis], axis] < 0:
                copies = [np.flip(copy, axis) for copy in copies]
                affine[:3, 3] += affine[:3, axis] * (hu.shape[order[axis]] - 1)
                affine[:3, axis] *= -1
        # As a header stores it.
        affine = affine.astype(np.float32).astype(np.float64)
        grid = canonical_grid(copies[0].shape, affine, spacing)
        results.append(
            (
                resample_image(Volume(copies[0], affine), grid),
                resample_labels(Volume(copies[1], affine), grid, 99),
            )
        )
    assert len(results) == 48
    for image, label_map in results[1:]:
        assert (image == results[0][0]).all()
        assert (label_map == results[0][1]).all()


def test_border_clamps_for_half_a_voxel_then_fills():
    line = Volume(np.array([10, 20, 30], np.int16).reshape(3, 1, 1), np.eye(4))
    expected = {-0.51: -1000, -0.5: 10, -0.25: 10, 0.25: 12.5, 2.25: 30,
                2.49: 30, 2.5: -1000}  # fmt: skip
    for i, value in expected.items():
        grid = Grid((1, 1, 1), _affine(np.eye(3), (i, 0, 0)))
        assert resample_image(line, grid)[0, 0, 0] == value
    nearest = {-0.51: -1, -0.5: 10, 0.49: 10, 0.5: 20, 2.49: 30, 2.5: -1}
    for i, value in nearest.items():
        grid = Grid((1, 1, 1), _affine(np.eye(3), (i, 0, 0)))
        assert resample_labels(line, grid, -1)[0, 0, 0] == value


def test_canonical_samples_of_an_aligned_scan_never_need_fill():
    rng = np.random.default_rng(3)
    for _ in range(300):
        shape = tuple(rng.integers(1, 40, 3))
        own, new = rng.uniform(0.3, 6, 3), rng.uniform(0.3, 6, 3)
        source = Grid(shape, _affine(np.diag(own)))
        grid = canonical_grid(shape, source.affine, tuple(new))
        for a, b in ((source, grid), (grid, source)):
            matrix, offset = index_map(a, b)
            last = matrix @ (np.array(b.shape) - 1) + offset
            assert (offset > -0.5).all()
            assert (last < np.array(a.shape) - 0.5).all()


def test_oblique_sphere_keeps_volume_and_centroid_and_returns():
    spacing = np.array([1.5, 1.5, 2.0])
    affine = _affine(_rotation(10, 0) @ _rotation(10, 2) * spacing, (9, 8, 7))
    shape, centre_voxel = (48, 48, 36), np.array([23.0, 25.0, 17.0])
    centre = (affine @ [*centre_voxel, 1])[:3]
    index = np.stack(np.indices(shape), -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    ball = (np.linalg.norm(mm - centre, axis=-1) < 20).astype(np.uint8)
    grid = canonical_grid(shape, affine, (2.0, 2.0, 2.0))
    there = resample_labels(Volume(ball, affine), grid, fill=0)
    volume_mm3 = there.sum() * 8.0
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    found = np.argwhere(there) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    np.testing.assert_allclose(found.mean(axis=0), centre, atol=0.1)
    back = restore_labels(there, grid, shape, affine)
    dice = 2 * (back & ball).sum() / (back.sum() + ball.sum())
    assert dice > 0.95
    assert back.shape == shape


def test_prone_turn_keeps_left_left_and_undoes_itself():
    """The scanner believed the patient to lie supine: all is turned."""
    labels = np.zeros((8, 8, 4), np.uint8)
    # RAS+: the scanner calls it right (x > 0) and anterior (y > 0); of the
    # patient, who lies face down, it is left and posterior.
    labels[6, 6, 2] = 7
    affine = _affine(np.diag([2.0, 2.0, 2.0]), (-7, -7, 0))
    turned = turn_prone(affine)
    grid = canonical_grid(labels.shape, turned, (2.0, 2.0, 2.0))
    there = resample_labels(Volume(labels, turned), grid, fill=0)
    (index,) = np.argwhere(there == 7)
    x, y, z = (grid.affine @ [*index, 1])[:3]
    assert (x, y, z) == (-5.0, -5.0, 4.0)
    back = restore_labels(there, grid, labels.shape, turned)
    assert (back == labels).all()


def test_labels_are_never_invented():
    rng, shape, affine = _random_scan(8, 30.0)
    array = rng.choice([0, 10, 200], shape).astype(np.int32)
    grid = canonical_grid(shape, affine, (0.7, 0.7, 0.7))
    found = resample_labels(Volume(array, affine), grid, fill=10)
    assert set(np.unique(found)) <= {0, 10, 200}


def test_byte_order_and_bool_are_read():
    array = np.arange(8).reshape(2, 2, 2)
    grid = Grid((2, 2, 2), np.eye(4))
    for copy in (array.astype(">i2"), array.astype(">f4")):
        assert (resample_image(Volume(copy, np.eye(4)), grid) == array).all()
    mask = array > 3
    assert (resample_image(Volume(mask, np.eye(4)), grid) == mask).all()


def test_label_arguments_are_checked():
    grid = Grid((1, 1, 1), np.eye(4))
    with pytest.raises(ValueError, match="integers, received float32"):
        resample_labels(
            Volume(np.zeros((1, 1, 1), np.float32), np.eye(4)), grid, 0
        )
    with pytest.raises(ValueError, match="300 does not fit uint8"):
        resample_labels(
            Volume(np.zeros((1, 1, 1), np.uint8), np.eye(4)), grid, 300
        )


def test_absurd_grid_is_refused():
    affine = _affine(np.diag([900.0, 900.0, 900.0]))
    with pytest.raises(InputError, match="s.nii: a scan of .* coarsen"):
        canonical_grid((100, 100, 100), affine, (1.0, 1.0, 1.0), "s.nii")


def test_restored_labels_lie_in_memory_as_files_store_them() -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    grid = Grid(labels.shape, np.eye(4))
    flipped = np.diag([-1.0, -1.0, 1.0, 1.0])
    flipped[:2, 3] = 1, 2
    restored = restore_labels(labels, grid, labels.shape, flipped)
    np.testing.assert_array_equal(restored, labels[::-1, ::-1])
    assert restored.flags.f_contiguous
