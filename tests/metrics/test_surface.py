"""Surface distances: geometry by hand, invariants, DeepMind's as oracle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import surface_distance as oracle
from scipy import ndimage
from surface_distance import lookup_tables

from tfpartial.metrics.surface import (
    bounding_box,
    hd95_mm,
    nsd,
    surface_distances,
)
from tfpartial.metrics.surfels import INSIDE, surfel_areas

# The oracle's own calls of scipy's old names.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:surface_distance"
)
Masks = tuple[np.ndarray, np.ndarray]


def voxel(*position: int, shape: tuple[int, int, int] = (9, 9, 9)):
    mask = np.zeros(shape, bool)
    mask[position] = True
    return mask


def rough_masks(seed: int) -> Masks:
    """Two overlapping blobs with rough borders; the second is shifted."""
    generator = np.random.default_rng(seed)
    shape = (24, 20, 28)
    centre = np.linalg.norm(
        [
            (g - n / 2) / n
            for g, n in zip(np.indices(shape), shape, strict=True)
        ],
        axis=0,
    )
    masks = []
    for shift in (0, 2):
        noise = ndimage.gaussian_filter(generator.normal(size=shape), 1.5)
        blob = centre + 0.3 * noise < 0.3
        masks.append(np.roll(blob, shift, axis=(0, 2)))
    return masks[0], masks[1]


# A voxel's surface: 8 corners, each a triangle through three edge midpoints
# of the neighbourhood, area |(1, 1, 1) / 8 * (sj sk, si sk, si sj)|.
def corner_area(si: float, sj: float, sk: float) -> float:
    return math.sqrt((sj * sk) ** 2 + (si * sk) ** 2 + (si * sj) ** 2) / 8


def test_surface_of_one_voxel_is_eight_corners() -> None:
    distances = surface_distances(voxel(4, 4, 4), voxel(4, 4, 4), (3, 1, 2))
    areas = distances.reference_areas_mm2
    np.testing.assert_allclose(areas, [corner_area(3, 1, 2)] * 8)


def test_flat_face_has_the_area_of_the_voxel_face() -> None:
    areas = surfel_areas((3, 1, 2))
    # Bits: I doubles up by 4, J by 2, K by 1; the first voxel is the high one.
    assert areas[0b11110000] == pytest.approx(1 * 2)  # across I
    assert areas[0b11001100] == pytest.approx(3 * 2)  # across J
    assert areas[0b10101010] == pytest.approx(3 * 1)  # across K


def test_two_voxels_two_mm_apart() -> None:
    """One voxel moved by two steps of 1 mm along J.

    Corners at j = 4, 5 and at j = 6, 7: distances 2 and 1 on either side.
    """
    distances = surface_distances(voxel(4, 4, 4), voxel(4, 6, 4), (3, 1, 2))
    expected = [1.0] * 4 + [2.0] * 4
    for mm in (distances.from_reference_mm, distances.from_prediction_mm):
        np.testing.assert_allclose(np.sort(mm), expected)
    assert hd95_mm(distances) == 2.0
    assert nsd(distances, 0.9) == 0.0
    assert nsd(distances, 1.0) == pytest.approx(4 / 8)
    assert nsd(distances, 2.0) == 1.0


def test_anisotropic_spacing_counts_per_axis() -> None:
    """The same two steps along I are 6 mm, along K 4 mm."""
    for step, mm in (((2, 0, 0), 2 * 3), ((0, 2, 0), 2 * 1), ((0, 0, 2), 4)):
        moved = voxel(4 + step[0], 4 + step[1], 4 + step[2])
        distances = surface_distances(voxel(4, 4, 4), moved, (3, 1, 2))
        assert hd95_mm(distances) == pytest.approx(mm)


def test_hd95_is_the_larger_direction_not_the_mean() -> None:
    """A prediction with a far second voxel: only its direction is large."""
    reference = voxel(2, 2, 2)
    prediction = reference | voxel(2, 2, 8)
    distances = surface_distances(reference, prediction, (1, 1, 1))
    assert (distances.from_reference_mm == 0).all()
    assert distances.from_prediction_mm.max() == 6
    assert hd95_mm(distances) == 6.0


def test_hd95_forgives_less_than_five_percent_of_the_area() -> None:
    """A plate of 20 x 20 faces and one voxel 5 mm off: 8 of > 800 surfels."""
    plate = np.zeros((20, 20, 12), bool)
    plate[:, :, 1:3] = True
    specked = plate | voxel(10, 10, 9, shape=plate.shape)
    assert hd95_mm(surface_distances(plate, specked, (1, 1, 1))) == 0.0


def test_empty_masks_are_defined() -> None:
    some, none = voxel(4, 4, 4), np.zeros((9, 9, 9), bool)
    both = surface_distances(none, none, (1, 1, 1))
    assert math.isnan(hd95_mm(both))
    assert math.isnan(nsd(both, 2.0))
    for pair in ((some, none), (none, some)):
        one = surface_distances(*pair, (1, 1, 1))
        assert hd95_mm(one) == math.inf
        assert nsd(one, 2.0) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_swapping_the_masks_swaps_the_distances(seed: int) -> None:
    a, b = rough_masks(seed)
    there = surface_distances(a, b, (3, 1, 2))
    back = surface_distances(b, a, (3, 1, 2))
    np.testing.assert_array_equal(
        there.from_reference_mm, back.from_prediction_mm
    )
    assert hd95_mm(there) == hd95_mm(back)
    assert nsd(there, 2.0) == pytest.approx(nsd(back, 2.0))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_turning_scan_and_spacing_together_changes_nothing(
    order: tuple[int, int, int],
) -> None:
    a, b = rough_masks(0)
    spacing = (3.0, 1.0, 2.0)
    straight = surface_distances(a, b, spacing)
    turned = surface_distances(
        a.transpose(order)[::-1],
        b.transpose(order)[::-1],
        [spacing[axis] for axis in order],
    )
    assert hd95_mm(turned) == pytest.approx(hd95_mm(straight))
    assert nsd(turned, 2.0) == pytest.approx(nsd(straight, 2.0))


def test_surroundings_do_not_matter() -> None:
    """Padding and touching the border: the surface is closed either way."""
    a, b = rough_masks(1)
    box = bounding_box(a | b)
    cropped = surface_distances(a[box], b[box], (3, 1, 2))
    padded = surface_distances(np.pad(a, 5), np.pad(b, 5), (3, 1, 2))
    assert hd95_mm(cropped) == hd95_mm(padded)
    assert nsd(cropped, 2.0) == nsd(padded, 2.0)


def test_nsd_does_not_fall_with_the_tolerance() -> None:
    a, b = rough_masks(2)
    distances = surface_distances(a, b, (3, 1, 2))
    values = [nsd(distances, tolerance) for tolerance in (0, 1, 2, 4, 100)]
    assert values == sorted(values)
    assert values[-1] == 1.0


def test_identical_masks() -> None:
    a, _ = rough_masks(3)
    distances = surface_distances(a, a, (3, 1, 2))
    assert hd95_mm(distances) == 0.0
    assert nsd(distances, 0.0) == 1.0


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 1), (1, 2, 5)])
def test_surfel_areas_equal_the_oracle(spacing: tuple[float, ...]) -> None:
    expected = lookup_tables.create_table_neighbour_code_to_surface_area(
        spacing
    )
    np.testing.assert_allclose(surfel_areas(spacing), expected, atol=1e-12)


def test_surfel_areas_do_not_know_inside_from_outside() -> None:
    areas = surfel_areas((1, 2, 5))
    np.testing.assert_array_equal(areas, areas[::-1])
    assert areas[0] == areas[INSIDE] == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 2.5)])
def test_hd95_and_nsd_equal_the_oracle(
    seed: int, spacing: tuple[float, float, float]
) -> None:
    a, b = rough_masks(seed)
    expected = oracle.compute_surface_distances(a, b, spacing)
    found = surface_distances(a, b, spacing)
    assert hd95_mm(found) == pytest.approx(
        oracle.compute_robust_hausdorff(expected, 95)
    )
    for tolerance in (0.5, 2.0, 4.0):
        assert nsd(found, tolerance) == pytest.approx(
            oracle.compute_surface_dice_at_tolerance(expected, tolerance)
        )
