"""The pictures of validation: which slice, which way round, which colours."""

from __future__ import annotations

import numpy as np

from tfpartial.training.callbacks.slices import label_colours, slice_picture

SHAPE = (6, 4, 3)
WIDTH, HEIGHT, _ = SHAPE
WINDOW = (-200.0, 200.0)
# RAS+: the highest i is the patient's right, the highest j is anterior.
RIGHT_FRONT, RIGHT_BACK, LEFT_FRONT = (
    (WIDTH - 1, HEIGHT - 1),
    (WIDTH - 1, 0),
    (0, HEIGHT - 1),
)


def picture_of(
    hu: dict[tuple, int] | None = None,
    reference: dict[tuple, int] | None = None,
    prediction: dict[tuple, int] | None = None,
) -> list[np.ndarray]:
    """Draw slice k = 0 with the given voxels; return the three panels."""
    arrays = []
    for background, voxels in ((-500, hu), (0, reference), (0, prediction)):
        array = np.full(SHAPE, background, np.int16)
        for (i, j), value in (voxels or {}).items():
            array[i, j, 0] = value
        arrays.append(array)
    # Without a reference every slice is as empty; with one, slice 0 wins.
    arrays[1][2, 2, 0] = 3
    picture = slice_picture(
        arrays[0], arrays[1].astype(np.uint8), arrays[2].astype(np.uint8),
        WINDOW, 4,
    )  # fmt: skip
    assert picture.shape == (HEIGHT, 3 * WIDTH, 3)
    assert picture.dtype == np.uint8
    return [picture[:, n * WIDTH : (n + 1) * WIDTH] for n in range(3)]


def bright(panel: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) of every pixel that is not black."""
    return [(int(r), int(c)) for r, c in np.argwhere(panel.any(-1))]


def test_the_patients_right_is_left_and_anterior_is_up() -> None:
    ct, _, _ = picture_of(hu={RIGHT_FRONT: 200})
    assert bright(ct) == [(0, 0)]
    ct, _, _ = picture_of(hu={RIGHT_BACK: 200})
    assert bright(ct) == [(HEIGHT - 1, 0)]
    ct, _, _ = picture_of(hu={LEFT_FRONT: 200})
    assert bright(ct) == [(0, WIDTH - 1)]


def test_reference_is_in_the_middle_and_prediction_at_the_end() -> None:
    ct, reference, prediction = picture_of(
        reference={RIGHT_FRONT: 1}, prediction={LEFT_FRONT: 2}
    )
    colours = label_colours(256)
    assert bright(ct) == []
    # The voxel (2, 2) of `picture_of` is in row 4 - 1 - 2, column 6 - 1 - 2.
    assert bright(reference) == [(0, 0), (1, 3)]
    assert bright(prediction) == [(0, WIDTH - 1)]
    # On black, half of the colour is left.
    np.testing.assert_array_equal(reference[0, 0], colours[1] // 2)
    np.testing.assert_array_equal(prediction[0, -1], colours[2] // 2)


def test_grey_is_the_share_of_the_window() -> None:
    voxels = {(0, 0): -200, (1, 0): 0, (2, 0): 200, (3, 0): 3000}
    ct, _, _ = picture_of(hu=voxels)
    # Columns run from high i to low i: 3, 2, 1, 0 are the last four.
    np.testing.assert_array_equal(ct[-1, 2:, 0], [255, 255, 127, 0])
    assert (ct == ct[..., :1]).all()


def test_the_reference_chooses_the_slice() -> None:
    hu = np.zeros(SHAPE, np.int16)
    hu[..., 2] = 200
    reference, prediction = np.zeros((2, *SHAPE), np.uint8)
    reference[0, 0, 2] = 3
    prediction[..., 0] = 3
    picture = slice_picture(hu, reference, prediction, WINDOW, 4)
    assert (picture[:, :WIDTH] == 255).all()


def test_background_is_black_and_labels_differ() -> None:
    colours = label_colours(100)
    assert not colours[0].any()
    assert len(np.unique(colours, axis=0)) == 100
