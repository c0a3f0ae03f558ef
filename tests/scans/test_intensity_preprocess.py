"""HU rounding, body statistics by hand, the whole preprocessing."""

import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.scans import (
    Volume,
    body_statistics,
    normalise,
    preprocess,
    restore_labels,
    round_hu,
)

WINDOW = (-200.0, 200.0)


def test_round_hu_is_unclipped_but_for_int16():
    values = np.array([-1024.4, 0.5, 1.5, 2.6, 4000.2, 1e9, -1e9], np.float32)
    assert round_hu(values).tolist() == [
        -1024, 0, 2, 3, 4000, 32767, -32768,
    ]  # fmt: skip
    assert round_hu(values).dtype == np.int16


def test_body_statistics_by_hand():
    hu = np.array([-1000, -500, -400, 100, 3000], np.int16)
    # Body: -400, 100, 3000 (-500 is not above the threshold), windowed to
    # -200, 100, 200.
    mean, sd = body_statistics(hu, WINDOW, -500.0)
    values = np.array([-200, 100, 200])
    assert mean == pytest.approx((-200 + 100 + 200) / 3)
    assert sd == pytest.approx(np.sqrt(((values - mean) ** 2).mean()))


def test_air_around_the_body_changes_nothing():
    body = np.random.default_rng(0).integers(-300, 900, 500).astype(np.int16)
    air = np.full(10_000, -1000, np.int16)
    assert body_statistics(body, WINDOW, -500.0) == body_statistics(
        np.concatenate([body, air]), WINDOW, -500.0
    )


def test_no_body_is_refused():
    with pytest.raises(InputError, match="a.nii.*-500 HU.*-1000 to -900"):
        body_statistics(
            np.array([-1000, -900], np.int16), WINDOW, -500.0, "a.nii"
        )


def test_normalise_windows_and_standardises():
    found = normalise(np.array([-1000, 0, 3000], np.int16), 50.0, 25.0, WINDOW)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, [(-200 - 50) / 25, (0 - 50) / 25, (200 - 50) / 25]
    )


def test_normalise_of_a_constant_body_is_finite():
    assert normalise(np.array([7]), 7.0, 0.0, WINDOW).tolist() == [0.0]


def _scan(seed=0, shape=(6, 7, 8)):
    rng = np.random.default_rng(seed)
    return Volume(
        rng.integers(-1000, 1500, shape).astype(np.int16),
        np.diag([-1.5, -1.5, 3.0, 1.0]),
    )


def test_preprocess_at_equal_spacing_reorders_only():
    scan = _scan()
    ready = preprocess(scan, (1.5, 1.5, 3.0), WINDOW, -500.0)
    assert ready.hu.dtype == np.int16
    assert (ready.hu == scan.array[::-1, ::-1]).all()
    assert (ready.mean, ready.sd) == body_statistics(scan.array, WINDOW, -500)
    assert ready.source_shape == scan.shape
    assert (ready.turned_affine == scan.affine).all()


def test_preprocess_turns_a_prone_scan_and_comes_back():
    scan = _scan()
    ready = preprocess(scan, (1.5, 1.5, 3.0), WINDOW, -500.0, prone_turn=True)
    # LPS voxel axes turned about z are RAS: nothing is reordered.
    assert (ready.hu == scan.array).all()
    back = restore_labels(
        ready.hu, ready.grid, ready.source_shape, ready.turned_affine
    )
    assert (back == scan.array).all()


def test_statistics_are_those_of_the_resampled_grid():
    ready = preprocess(_scan(), (2.0, 2.0, 2.0), WINDOW, -500.0)
    assert (ready.mean, ready.sd) == body_statistics(ready.hu, WINDOW, -500.0)


def test_corners_of_an_oblique_scan_are_air():
    angle = np.radians(45)
    affine = np.eye(4)
    affine[:2, :2] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    scan = Volume(np.full((9, 9, 3), 40, np.int16), affine)
    ready = preprocess(scan, (1.0, 1.0, 1.0), WINDOW, -500.0)
    assert set(np.unique(ready.hu)) == {-1000, 40}
    assert ready.hu[0, 0, 0] == -1000
    assert (ready.mean, ready.sd) == (40.0, 0.0)


def test_faults_name_the_scan():
    air = Volume(np.full((2, 2, 2), -1000, np.int16), np.eye(4))
    with pytest.raises(InputError, match="case_1"):
        preprocess(air, (1.0, 1.0, 1.0), WINDOW, -500.0, name="case_1")
