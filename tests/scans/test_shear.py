"""Scans of a tilted gantry: sheared affines, there and back."""

import nibabel
import numpy as np
import pytest

from tfpartial.config import Phantom
from tfpartial.errors import InputError
from tfpartial.evaluation.right_angles import at_right_angles
from tfpartial.metrics.overlap import dice
from tfpartial.phantom.make import make_case
from tfpartial.scans import (
    Grid,
    Placement,
    Volume,
    canonical_grid,
    preprocess,
    read_image,
    resample_image,
    resample_labels,
    restore_labels,
    write_volume,
)

SPACING_MM = (4.0, 4.0, 4.0)
TILTS = {"5e-3": np.degrees(np.arctan(5e-3)), "8": 8.0, "15": 15.0}


def tilted(affine, degrees, shape):
    """Shift each slice towards anterior; the middle slice stays."""
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(degrees))
    middle = affine @ [*(np.array(shape) - 1) / 2, 1]
    found = shear @ affine
    found[:3, 3] += (middle - found @ [*(np.array(shape) - 1) / 2, 1])[:3]
    return found


@pytest.fixture(scope="module")
def phantom():
    options = Phantom(shape=(64, 54, 48), spacing_mm=(6, 6, 6))
    return make_case(options, "supine", 1)


def there_and_back(phantom, degrees):
    """Dice per label on a scan's grid, against what it was given."""
    scan, labels = phantom
    fine = np.diag([3.0, 3.0, 5.0, 1.0])
    shape = (100, 80, 52)
    fine[:3, 3] = (
        scan.affine[:3] @ [*(np.array(scan.shape) - 1) / 2, 1]
        - np.diag(fine)[:3] * (np.array(shape) - 1) / 2
    )
    affine = tilted(fine, degrees, shape)
    given = resample_labels(labels, Grid(shape, affine), 0)
    grid = canonical_grid(shape, affine, SPACING_MM)
    canonical = resample_labels(Volume(given, affine), grid, 0)
    back = restore_labels(canonical, grid, shape, affine)
    values = range(1, int(labels.array.max()) + 1)
    return np.array([dice(given == v, back == v) for v in values])


@pytest.mark.parametrize("tilt", TILTS)
def test_labels_come_back_onto_the_tilted_grid(phantom, tilt):
    straight = there_and_back(phantom, 0.0)
    found = there_and_back(phantom, TILTS[tilt])
    assert straight.min() > 0.8
    assert (found >= 0.99 * straight).all()


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_a_gradient_is_reproduced_exactly(tilt, signs):
    shape = (21, 18, 15)
    affine = tilted(np.diag([*(signs * np.array([2, 2.5, 3.0])), 1.0]),
                    TILTS[tilt], shape)  # fmt: skip
    index = np.stack(np.indices(shape), -1)
    slope = np.array([3.0, -2.0, 5.0])
    ramp = (index @ affine[:3, :3].T + affine[:3, 3]) @ slope
    grid = canonical_grid(shape, affine, (2.0, 2.0, 2.0))
    found = resample_image(Volume(ramp, affine), grid, np.nan)
    places = np.stack(np.indices(grid.shape), -1)
    mm = places @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    where = (mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    inside = ((where >= 0) & (where <= np.array(shape) - 1)).all(-1)
    assert inside.sum() > 1000
    np.testing.assert_allclose(found[inside], (mm @ slope)[inside], atol=1e-2)


@pytest.mark.parametrize("tilt", TILTS)
def test_left_stays_left_on_a_tilted_grid(phantom, tilt):
    scan, labels = phantom
    affine = tilted(scan.affine, TILTS[tilt], scan.shape)
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = (affine @ [scan.shape[0] - 1, 0, 0, 1])[:3]
    arrays = scan.array[::-1], labels.array[::-1]
    ready = preprocess(
        Volume(arrays[0], flipped), SPACING_MM, (-100, 240), -500
    )
    there = resample_labels(Volume(arrays[1], flipped), ready.grid, 0)
    for value in range(1, int(labels.array.max()) + 1):
        x = (np.argwhere(labels.array == value) @ affine[0, :3]).mean()
        place = np.argwhere(there == value) @ ready.grid.affine[0, :3]
        found = place.mean() + ready.grid.affine[0, 3]
        assert found == pytest.approx(x + affine[0, 3], abs=2.0)


def test_a_tilted_file_is_read_and_written_exactly(tmp_path):
    shape = (5, 6, 7)
    affine = tilted(np.diag([-1.5, -1.5, 3, 1]), 15, shape)
    affine = affine.astype(np.float32).astype(float)
    hu = np.arange(210, dtype=np.int16).reshape(shape)
    write_volume(tmp_path / "a.nii.gz", Volume(hu, affine))
    found = read_image(tmp_path / "a.nii.gz")
    assert (found.affine == affine).all()
    assert nibabel.load(tmp_path / "a.nii.gz").header["qform_code"] == 0


def test_a_qform_beside_a_tilted_sform_is_said_to_hold_no_tilt(tmp_path):
    affine = tilted(np.diag([1.5, 1.5, 3, 1]), 15, (5, 6, 7))
    image = nibabel.Nifti1Image(np.zeros((5, 6, 7), np.int16), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)  # nibabel strips the shear
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="15 degrees.*no qform.*affine: sform"):
        read_image(tmp_path / "a.nii")
    found = read_image(tmp_path / "a.nii", Placement(affine="sform"))
    np.testing.assert_allclose(found.affine, affine, atol=1e-5)


def test_scores_of_a_tilted_scan_are_those_in_space():
    """A ball of 20 mm stays one, and its volume is right."""
    shape = (60, 60, 40)
    affine = tilted(np.diag([1.0, 1.0, 1.5, 1.0]), 15, shape)
    index = np.stack(np.indices(shape), -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    centre = affine @ [*(np.array(shape) - 1) / 2, 1]
    ball = (np.linalg.norm(mm - centre[:3], axis=-1) < 20).astype(np.uint8)
    found = at_right_angles(Volume(ball, affine))
    mm3 = found.array.sum() * np.prod(found.spacing_mm)
    assert mm3 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    along = [np.ptp(np.nonzero(found.array)[axis]) for axis in range(3)]
    size = (np.array(along) + 1) * found.spacing_mm
    np.testing.assert_allclose(size, 40, atol=3)
    straight = Volume(ball, np.diag([1.0, 1, 1.5, 1]))
    assert at_right_angles(straight) is straight
