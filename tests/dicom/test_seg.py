"""Segmentations: frames land on the voxels that their places name."""

from __future__ import annotations

import made_dicom as made
import numpy as np
import pytest

from tfpartial.dicom import find_series, read_segments
from tfpartial.errors import InputError

SHAPE = (13, 9, 6)


def random_masks(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.random(SHAPE) < 0.4 for _ in range(count)]


def read(tmp_path, seg, place="axial"):
    made.write_series(
        tmp_path / "ct", made.random_hu(SHAPE), made.PLACES[place]
    )
    seg.save_as(tmp_path / "seg")
    (series,) = find_series(tmp_path / "ct")
    return read_segments(tmp_path / "seg", series)


@pytest.mark.parametrize("place", made.PLACES)
def test_overlapping_segments_in_any_frame_order(tmp_path, place):
    first, second = random_masks(2)
    frames = [(first[..., k], k, 1) for k in (4, 0, 2)]
    frames[1:1] = [(second[..., k], k, 2) for k in (5, 2)]
    seg = made.segmentation("BINARY", frames, made.PLACES[place], ["A", "B"])
    found = read(tmp_path, seg, place)
    assert found.names == ("A", "B")
    for name, mask, kept in (("A", first, (0, 2, 4)), ("B", second, (2, 5))):
        expected = np.zeros(SHAPE, bool)
        expected[..., kept] = mask[..., kept]
        np.testing.assert_array_equal(found.mask(name), expected)


def test_fractions_count_from_one_half_on(tmp_path):
    values = np.arange(13 * 9).reshape(13, 9) + 60
    seg = made.segmentation(
        "FRACTIONAL", [(values, 3, 1)], made.PLACES["axial"], ["A"]
    )
    mask = read(tmp_path, seg).mask("A")
    np.testing.assert_array_equal(mask[..., 3], values >= 100)
    assert mask.sum() == (values >= 100).sum()


def test_label_maps_hold_all_segments_in_a_frame(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, SHAPE)
    frames = [(labels[..., k], k, None) for k in (5, 1)]
    seg = made.segmentation(
        "LABELMAP", frames, made.PLACES["oblique"], ["A", "B"]
    )
    found = read(tmp_path, seg, "oblique")
    for number, name in enumerate(found.names, 1):
        expected = labels == number
        expected[..., [0, 2, 3, 4]] = False
        np.testing.assert_array_equal(found.mask(name), expected)


def test_a_part_of_the_image_turned_over_lands_on_its_voxels(tmp_path):
    (mask,) = random_masks(1)
    place = made.PLACES["axial"] @ np.array(
        [[-1, 0, 0, 10], [0, 1, 0, 2], [0, 0, -1, 4], [0, 0, 0, 1.0]]
    )
    part = mask[3:11, 2:7, :5][::-1, :, ::-1]
    frames = [(part[..., k], k, 1) for k in range(5)]
    seg = made.segmentation("BINARY", frames, place, ["A"])
    expected = np.zeros(SHAPE, bool)
    expected[3:11, 2:7, :5] = mask[3:11, 2:7, :5]
    np.testing.assert_array_equal(read(tmp_path, seg).mask("A"), expected)


def shifted(seg):
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        position[0] = str(float(position[0]) + 0.3)


def coarser(seg):
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [2.2, 1.6]


def farther_apart(seg):
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = 5


def elsewhere(seg):
    seg.FrameOfReferenceUID = "9.9"


def without_segment(seg):
    del seg.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence


def without_pixels(seg):
    seg.PixelData = seg.PixelData[:4]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shifted, "off the grid"),
        (coarser, "off the grid"),
        (farther_apart, "2 slices of its image apart"),
        (elsewhere, "frame of reference"),
        (without_segment, "no known segment in frame 1"),
        (without_pixels, "4 of 30 bytes"),
    ],
)
def test_what_does_not_fit_the_image_is_refused(tmp_path, spoil, words):
    (mask,) = random_masks(1)
    seg = made.segmentation(
        "BINARY",
        [(mask[..., k], k, 1) for k in (1, 3)],
        made.PLACES["axial"],
        ["A"],
    )
    spoil(seg)
    with pytest.raises(InputError, match=words):
        read(tmp_path, seg)


def test_pixels_outside_of_the_image_are_refused(tmp_path):
    (mask,) = random_masks(1)
    frames = [(mask[..., 0], 7, 1)]
    seg = made.segmentation("BINARY", frames, made.PLACES["axial"], ["A"])
    with pytest.raises(InputError, match="'A'"):
        read(tmp_path, seg).mask("A")


def test_values_of_no_segment_are_refused(tmp_path):
    labels = np.full((13, 9), 7)
    seg = made.segmentation(
        "LABELMAP", [(labels, 0, None)], made.PLACES["axial"], ["A"]
    )
    with pytest.raises(InputError, match="found 7 in frame 1"):
        read(tmp_path, seg).mask("A")
