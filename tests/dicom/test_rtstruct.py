"""Structure sets: which voxels a contour fills, what is told, what refused."""

from __future__ import annotations

import made_dicom as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from tfpartial.dicom import (
    find_series,
    match_series,
    read_structures,
)
from tfpartial.dicom.polygons import fill
from tfpartial.errors import InputError

SHAPE = (40, 30, 8)


def square(low: float, high: float) -> list[tuple[float, float]]:
    return [(low, low), (high, low), (high, high), (low, high)]


def read(tmp_path, structures, place="axial", frame="1.2.3.4", files=None):
    affine = made.PLACES[place]
    files = files or made.series_files(made.random_hu(SHAPE), affine)
    made.write(files, tmp_path / "ct")
    path = tmp_path / "rs.dcm"
    made.structure_set(structures, frame).save_as(path)
    (series,) = find_series(tmp_path / "ct")
    return read_structures(path, series)


def mask_of(tmp_path, contours, place="axial"):
    return read(tmp_path, {"A": contours}, place).mask("A")


def expected(parts) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for k, low, high in parts:
        block = np.zeros_like(mask)
        block[low:high, low:high, k] = True
        mask ^= block
    return mask


@pytest.mark.parametrize("place", made.PLACES)
def test_voxels_are_the_same_however_the_patient_lies(tmp_path, place):
    affine = made.PLACES[place]
    contours = [
        made.contour(square(4.5, 20.5), affine, 2),
        made.contour(square(7.5, 15.5), affine, 2),  # hole
        made.contour(square(9.5, 12.5)[::-1], affine, 2),  # island in it
        made.contour(square(22.5, 27.5), affine, 2),  # another part
        made.contour(square(4.5, 9.5), affine, 5),
    ]
    parts = [(2, 5, 21), (2, 8, 16), (2, 10, 13), (2, 23, 28), (5, 5, 10)]
    mask = mask_of(tmp_path, contours, place)
    np.testing.assert_array_equal(mask, expected(parts))


@pytest.mark.parametrize("place", made.PLACES)
def test_centres_on_the_outline_belong_to_its_low_sides(tmp_path, place):
    contours = [made.contour(square(4, 20), made.PLACES[place], 2)]
    mask = mask_of(tmp_path, contours, place)
    np.testing.assert_array_equal(mask, expected([(2, 4, 20)]))


def test_a_keyhole_is_its_hole(tmp_path):
    outer, inner = square(4.5, 20.5), square(7.5, 15.5)
    points = [*outer, outer[0], *inner, inner[0]]
    keyhole = made.contour(points, made.PLACES["tilted"], 3)
    mask = mask_of(tmp_path, [keyhole], "tilted")
    np.testing.assert_array_equal(mask, expected([(3, 5, 21), (3, 8, 16)]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.floats(-3, 15)] * 2), min_size=3, max_size=9))
def test_pixels_are_those_that_matplotlib_finds_even_odd(points):
    polygon = np.array(points)
    rows, columns = np.mgrid[:11, :12]
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    ours = fill([polygon], (12, 11)).T.ravel()
    closed = np.vstack([polygon, polygon[:1]])
    crossings = np.zeros(len(centres), int)
    near = np.zeros(len(centres), bool)
    for (x0, y0), (x1, y1) in zip(closed[:-1], closed[1:], strict=True):
        along = np.array([x1 - x0, y1 - y0])
        offset = centres - (x0, y0)
        length = max(float(along @ along), 1e-12)
        t = np.clip(offset @ along / length, 0, 1)
        near |= np.linalg.norm(offset - np.outer(t, along), axis=1) < 1e-4
        y = centres[:, 1]
        spans = (y0 <= y) != (y1 <= y)
        with np.errstate(all="ignore"):
            x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        crossings += spans & (x < centres[:, 0])
    away = ~near
    np.testing.assert_array_equal(ours[away], (crossings % 2 == 1)[away])


def test_a_convex_outline_is_filled_as_matplotlib_does():
    angle = np.linspace(0, 2 * np.pi, 50)[:-1]
    outline = np.stack(
        [20.3 + 11.7 * np.cos(angle), 14.1 + 9.2 * np.sin(angle)], axis=1
    )
    i, j = np.mgrid[:40, :30]
    inside = Outline(outline).contains_points(np.c_[i.ravel(), j.ravel()])
    np.testing.assert_array_equal(
        fill([outline], (40, 30)), inside.reshape(40, 30)
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 12)] * 2), min_size=3, max_size=6))
def test_parts_that_share_edges_share_no_pixel_and_leave_none_out(points):
    box = [(0, 0), (12, 0), (12, 12), (0, 12)]
    whole = fill([np.array(box, float)], (13, 13))
    part = fill([np.array(points, float)], (13, 13))
    rest = fill([np.array(box, float), np.array(points, float)], (13, 13))
    np.testing.assert_array_equal(part ^ rest, whole)


def test_edges_taken_a_few_at_once_fill_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    polygons = [rng.uniform(-2, 14, (30, 2)) for _ in range(3)]
    at_once = fill(polygons, (13, 12))
    monkeypatch.setattr("tfpartial.dicom.polygons._MAX_CROSSINGS", 3)
    np.testing.assert_array_equal(fill(polygons, (13, 12)), at_once)


def test_contours_between_slices_go_to_the_nearest(tmp_path):
    affine = made.PLACES["axial"]
    contours = [
        made.contour(square(4.5, 20.5), affine, 2.3),
        made.contour(square(4.5, 9.5), affine, 4.5),  # halfway: higher
    ]
    structures = read(tmp_path, {"A": contours})
    np.testing.assert_array_equal(
        structures.mask("A"), expected([(2, 5, 21), (5, 5, 10)])
    )
    assert any("0.5 slice steps" in note for note in structures.notes("A"))


def test_planes_of_a_finer_step_are_not_counted_together(tmp_path):
    affine = made.PLACES["axial"]
    contours = [
        made.contour(square(4.5, high), affine, k)
        for k, high in ((1.67, 10.5), (2.0, 20.5), (2.33, 10.5))
    ]
    structures = read(tmp_path, {"A": contours})
    np.testing.assert_array_equal(structures.mask("A"), expected([(2, 5, 21)]))
    assert "2 contours left out" in structures.notes("A")[0]


def test_contours_of_one_slice_may_be_rounded_apart(tmp_path):
    affine = made.PLACES["axial"]
    contours = [
        made.contour(square(4.5, 20.5), affine, 2.0),
        made.contour(square(7.5, 15.5), affine, 2.05),
    ]
    structures = read(tmp_path, {"A": contours})
    np.testing.assert_array_equal(
        structures.mask("A"), expected([(2, 5, 21), (2, 8, 16)])
    )


def test_points_and_open_contours_are_skipped_and_told(tmp_path):
    affine = made.PLACES["axial"]
    contours = [
        made.contour(square(4.5, 20.5), affine, 2),
        made.contour([(3, 3)], affine, 2, "POINT"),
        made.contour(square(1, 9), affine, 2, "OPEN_PLANAR"),
        made.contour([(3, 3), (9, 9)], affine, 2),
        made.contour(square(4.5, 20.5), affine, 9),
        made.contour(square(4.5, 20.5), affine, 4),
        made.contour(square(4.5, 20.5), affine, 4),
    ]
    structures = read(tmp_path, {"A": contours, "Areola": []})
    np.testing.assert_array_equal(
        structures.mask("A"), expected([(2, 5, 21), (4, 5, 21)])
    )
    told = " ".join(structures.notes("A"))
    for words in (
        "1 contours of kind POINT",
        "1 contours of kind OPEN_PLANAR",
        "1 contours of kind fewer than 3 points",
        "1 contours outside",
        "1 contours stand twice",
        "1 slices between",
    ):
        assert words in told
    assert structures.drawn == ("A",)
    assert not structures.mask("Areola").any()
    assert "not drawn" in structures.notes("Areola")[0]


def test_contours_across_slices_are_refused(tmp_path):
    across = made.contour(square(4.5, 20.5), made.PLACES["axial"], 2)
    z = np.array(across.ContourData, float).reshape(-1, 3)
    z[2:, 2] += 9
    across.ContourData = made.decimal(z.ravel())
    with pytest.raises(InputError, match="'A'.*across 3.6 slices"):
        mask_of(tmp_path, [across])


def test_another_frame_of_reference_is_refused(tmp_path):
    contours = [made.contour(square(4, 9), made.PLACES["axial"], 2)]
    with pytest.raises(InputError, match="FrameOfReferenceUID"):
        read(tmp_path, {"A": contours}, frame="9.9")


def test_structures_of_another_place_are_refused(tmp_path):
    far = [made.contour(square(400, 420), made.PLACES["axial"], 2)]
    with pytest.raises(InputError, match="outside of it"):
        read(tmp_path, {"A": far})


def test_cited_images_are_compared_where_they_are_there(tmp_path):
    affine = made.PLACES["axial"]
    files = made.series_files(made.random_hu(SHAPE), affine)

    def cite(uid: str):
        one, image = made.contour(square(4.5, 9.5), affine, 2), made.Dataset()
        image.ReferencedSOPInstanceUID = uid
        one.ContourImageSequence = [image]
        return one

    structures = {
        "right": [cite(files[2].SOPInstanceUID)],
        "wrong": [cite(files[6].SOPInstanceUID)],
        "gone": [cite("1.7.7")],
    }
    found = read(tmp_path, structures, files=files)
    assert found.mask("right").sum() == 25
    assert found.notes("right") == ()
    with pytest.raises(InputError, match="'wrong'.*slice 7"):
        found.mask("wrong")
    assert found.mask("gone").sum() == 25
    assert "not in the folder" in found.notes("gone")[0]


def test_names_that_are_not_there_or_twice_are_refused(tmp_path):
    found = read(tmp_path, {"A": [], " A": [], "B": []})
    for name in ("C", "A"):
        with pytest.raises(InputError, match=f"'{name}'"):
            found.mask(name)


def test_what_tells_structure_sets_apart_is_there(tmp_path):
    found = read(tmp_path, {"A": []})
    assert (found.label, found.approval) == ("plan", "APPROVED")


def test_a_structure_set_finds_its_series(tmp_path):
    affine = made.PLACES["axial"]
    for name, frame in (("a", "1.2.3.4"), ("b", "9.9"), ("c", "1.2.3.4")):
        files = made.series_files(made.random_hu(SHAPE), affine, frame)
        made.write(files, tmp_path / name)
    candidates = find_series(tmp_path)
    plain = made.structure_set({"A": []})
    plain.FrameOfReferenceUID = "9.9"
    plain.save_as(tmp_path / "rs")
    assert match_series(tmp_path / "rs", candidates) is candidates[1]
    plain.FrameOfReferenceUID = "1.2.3.4"
    plain.save_as(tmp_path / "rs")
    with pytest.raises(InputError, match="found 2 of 3"):
        match_series(tmp_path / "rs", candidates)
    frame, study, named = (made.Dataset() for _ in range(3))
    named.SeriesInstanceUID = candidates[2].uid
    study.RTReferencedSeriesSequence = [named]
    frame.RTReferencedStudySequence = [study]
    plain.ReferencedFrameOfReferenceSequence = [frame]
    plain.save_as(tmp_path / "rs")
    assert match_series(tmp_path / "rs", candidates) is candidates[2]
