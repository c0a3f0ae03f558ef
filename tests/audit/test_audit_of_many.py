"""One fault in each of a few cases, among enough cases to know the usual."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_records import tiny_experiment, write_nifti

from tfpartial.audit import AuditResult, audit

SHAPE = (48, 40, 40)
AFFINE = np.diag([6.0, 6.0, 6.0, 1.0])
# label -> corner and sides of its box, voxels; HU. x to the right, y to the
# front, z to the head.
BOXES = {
    1: ((20, 8, 4), (8, 6, 32), 600),
    2: ((10, 18, 20), (5, 6, 7), 200),
    3: ((33, 18, 20), (5, 6, 7), 350),
}
USUAL = [f"c{n:02d}" for n in range(12)]
FAULTY = ["turned", "moved", "large", "flat"]


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A body on a couch with three boxes, each a little elsewhere."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.indices(SHAPE), -1) - (np.array(SHAPE) - 1) / 2
    inside = np.linalg.norm(places[..., :2] / (21, 15), axis=-1) < 1
    hu = np.where(inside, 40, -1000)
    hu[8:40, 1] = -300  # the couch, behind
    labels = np.zeros(SHAPE, np.uint8)
    for label, (corner, sides, value) in BOXES.items():
        start = np.array(corner) + rng.integers(-1, 2, 3)
        box = tuple(map(slice, start, start + sides))
        hu[box], labels[box] = value, label
    hu += rng.integers(-20, 20, SHAPE)
    return hu.astype(np.int16), labels


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> AuditResult:
    folder = tmp_path_factory.mktemp("many")
    for seed, case in enumerate([*USUAL, *FAULTY]):
        hu, labels = scan(seed)
        affine = AFFINE.copy()
        if case == "turned":
            affine = np.diag([-1.0, -1, 1, 1]) @ affine
        if case == "moved":
            labels = np.roll(labels, (4, 5), (0, 1))
        if case == "large":
            labels[6:18, 10:30, 8:36] = 2
        if case == "flat":
            affine[2, 2] = 0.6
        write_nifti(folder / "full" / case / "ct.nii.gz", hu, affine)
        write_nifti(folder / "full" / case / "labels.nii.gz", labels, affine)
    experiment = tiny_experiment(folder, folder / "records")
    declared = experiment.model_dump()
    del declared["databases"][1]
    declared["build"]["splits"] = {}
    experiment = type(experiment).model_validate(declared)
    with pytest.MonkeyPatch.context() as patch:
        # They would take most of the time.
        patch.setattr("tfpartial.audit.run.chosen_for_pictures", lambda _: [])
        return audit(experiment, folder / "out")


def found(result: AuditResult, kind: str) -> set[str]:
    return {finding.case for finding in result.of_kind(kind)}


def test_the_turned_case_by_labels_image_and_couch(result) -> None:
    (finding,) = [f for f in result.of_kind("orientation")
                  if f.case == "turned"]  # fmt: skip
    assert "turned by 180 degrees about the long axis" in finding.text
    assert "The image alone says so too." in finding.text
    assert found(result, "position") == {"turned"}


def test_the_moved_annotation(result) -> None:
    assert "moved" in found(result, "misfit")
    (finding,) = [f for f in result.of_kind("misfit") if f.case == "moved"]
    # Moved 24 mm to the right and 30 mm to the front: back again fits.
    assert "24 mm to the patient's left" in finding.text
    assert "mm to posterior" in finding.text


def test_the_large_structure_and_the_flat_scan(result) -> None:
    outliers = {
        (finding.case, finding.label, finding.quantity)
        for finding in result.of_kind("outlier")
    }
    assert "left" in {label for case, label, _ in outliers if case == "large"}
    assert ("flat", "", "extent") in outliers


def test_the_others_have_no_finding(result) -> None:
    """All have one body: a copy of a scan is what they should look like."""
    findings = [f for f in result.findings if f.kind != "same_scan"]
    assert {finding.case for finding in findings} == set(FAULTY)
