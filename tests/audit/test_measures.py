"""What is measured of one structure, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import case_of, structure

from tfpartial.audit.checks.outliers import all_scores, outlier_findings
from tfpartial.audit.measures import measure_structure
from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import structures_of
from tfpartial.scans import Volume

SPACE = LabelSpace((Label("cord"),))
(CORD,) = structures_of(np.eye(2, dtype=bool), np.ones(2, bool), SPACE)
# 2 x 3 x 4 mm, and not at the origin.
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
AFFINE[:3, 3] = [10, 20, 30]


def measured(codes: np.ndarray):
    hu = np.arange(codes.size, dtype=np.int16).reshape(codes.shape)
    return measure_structure(CORD, codes, Volume(hu, AFFINE)), hu


def test_two_pieces_by_hand() -> None:
    codes = np.zeros((6, 5, 20), np.uint8)
    codes[1, 1, 5:11] = 1
    codes[3, 3, 8:10] = 1
    found, hu = measured(codes)
    assert found.voxels == 8
    assert found.ml == pytest.approx(8 * 24 / 1000)
    assert found.largest_share == 6 / 8
    assert found.length_mm == 6 * 4
    # Mean voxel: (1.5, 1.5, 7.75).
    np.testing.assert_allclose(
        found.centre_mm, [10 + 2 * 1.5, 20 + 3 * 1.5, 30 + 4 * 7.75]
    )
    np.testing.assert_allclose(
        found.hu, np.percentile(hu[codes == 1], [5, 25, 50, 75, 95])
    )


@pytest.mark.parametrize(
    ("planes", "at_end"),
    # Within 6 mm of an end: one plane of 4 mm may lie between.
    [((0, 5), True), ((1, 5), True), ((2, 5), False),
     ((10, 18), False), ((10, 19), True), ((10, 20), True)],
)  # fmt: skip
def test_near_the_end_of_the_scan(
    planes: tuple[int, int], at_end: bool
) -> None:
    codes = np.zeros((6, 5, 20), np.uint8)
    codes[1, 1, slice(*planes)] = 1
    assert measured(codes)[0].at_end == at_end


def test_an_outlier_at_the_end_is_said_to_be_cut_off() -> None:
    for at_end in (True, False):
        cases = [
            case_of("db", f"c{n}", structure("cord", at_end=at_end, ml=ml))
            for n, ml in enumerate([10.0] * 20 + [90.0])
        ]
        (finding,) = outlier_findings(all_scores(cases), cases, {})
        assert ("may cut it off" in finding.text) == at_end
