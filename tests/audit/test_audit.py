"""The whole audit of two tiny databases with faults."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from tiny_records import (
    tiny_experiment,
    tiny_scan,
    write_databases,
    write_nifti,
)

from tfpartial.audit import (
    KINDS,
    AuditResult,
    Finding,
    audit,
    summary_lines,
)
from tfpartial.audit.page.html_page import html_page
from tfpartial.config import Experiment
from tfpartial.errors import InputError

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Return two databases without a fault that few cases could show."""
    write_databases(tmp_path)
    return tiny_experiment(tmp_path, tmp_path / "records")


def change_labels(path: Path, **values: int) -> None:
    """Replace stored values: a1=77 replaces 1 by 77."""
    image = nibabel.load(path)
    array = np.asarray(image.dataobj).copy()
    for old, new in values.items():
        array[array == int(old[1:])] = new
    write_nifti(path, array, image.affine)


def kinds(result: AuditResult) -> set[tuple[str, str]]:
    return {(finding.kind, finding.where) for finding in result.findings}


def test_the_matrix_can_be_counted(
    experiment: Experiment, tmp_path: Path
) -> None:
    result = audit(experiment, tmp_path / "out")
    cells = {(c.database, c.label): c for c in result.cells}
    assert set(cells) == {("full", "bone"), ("full", "left"),
                          ("full", "right"), ("part", "bone"),
                          ("part", "left+right")}  # fmt: skip
    bone = cells["full", "bone"]
    # A box of 4 x 4 x 6 voxels of 27 mm3 in each of four cases.
    assert (bone.declared, bone.found, bone.voxels) == (4, 4, 4 * 96)
    assert bone.ml == pytest.approx([96 * 27 / 1000] * 5)
    hu, labels = tiny_scan(0)
    median = np.median(hu[labels == 1])
    assert abs(bone.hu[2] - median) < 10
    part = result.databases[1]
    assert (part.name, part.cases, part.licence) == (
        "part", {"train": 3}, "none",
    )  # fmt: skip


def test_left_of_the_tiny_scans_is_left(
    experiment: Experiment, tmp_path: Path
) -> None:
    """'left' has the smaller x; stored as 3 it would lie on the right."""
    assert audit(experiment, tmp_path / "out").of_kind("orientation") == []
    change_labels(tmp_path / "full/f1/labels.nii.gz", v2=9, v3=2)
    change_labels(tmp_path / "full/f1/labels.nii.gz", v9=3)
    result = audit(experiment, tmp_path / "out")
    assert kinds(result) == {("orientation", "full/f1")}


def test_faults_of_files_are_findings_that_name_no_path(
    experiment: Experiment, tmp_path: Path
) -> None:
    change_labels(tmp_path / "full/f0/labels.nii.gz", v1=77)
    (tmp_path / "part/p1/ct.nii.gz").write_bytes(b"no NIfTI")
    moved = AFFINE.copy()
    moved[0, 3] = 4
    write_nifti(
        tmp_path / "part/p2/segmentations/bone.nii.gz",
        (tiny_scan(12)[1] == 1).astype(np.uint8),
        moved,
    )
    result = audit(experiment, tmp_path / "out")
    texts = {f.where: f.text for f in result.of_kind("files")}
    assert set(texts) == {"full/f0", "part/p1", "part/p2"}
    assert "the label map: expected the stored values" in texts["full/f0"]
    assert "found 77 (96 voxels)" in texts["full/f0"]
    assert texts["part/p1"].startswith("the scan: expected a NIfTI file")
    assert "the mask of 'bone': expected the affine" in texts["part/p2"]
    # What else f0 annotates was measured all the same.
    left = next(c for c in result.cells if c.label == "left")
    assert left.found == 4
    for name in ("index.html", "audit.json"):
        text = (tmp_path / "out" / name).read_text("utf-8")
        assert str(tmp_path) not in text
        assert "ct.nii.gz" not in text


def test_a_label_that_never_occurs(
    experiment: Experiment, tmp_path: Path
) -> None:
    for case in ("f0", "f1", "f2", "f3"):
        change_labels(tmp_path / f"full/{case}/labels.nii.gz", v3=0)
    result = audit(experiment, tmp_path / "out")
    (finding,) = result.of_kind("empty")
    assert (finding.where, finding.label) == ("full", "right")


def test_a_copy_on_both_sides_of_the_split(
    experiment: Experiment, tmp_path: Path
) -> None:
    """f3 is a test case, p0 a training case; another order of axes."""
    hu, labels = tiny_scan(3)
    affine = np.diag([-3.0, 3, 3, 1])
    home = tmp_path / "part/p0"
    write_nifti(home / "ct.nii.gz", hu[::-1], affine)
    for name, mask in {"bone": labels == 1, "sides": labels > 1}.items():
        path = home / "segmentations" / f"{name}.nii.gz"
        write_nifti(path, mask[::-1].astype(np.uint8), affine)
    result = audit(experiment, tmp_path / "out")
    (finding,) = result.of_kind("same_scan")
    assert {finding.where, *finding.others} == {"full/f3", "part/p0"}
    assert "LEAK" in finding.text
    assert "exact hash finds it too" in finding.text
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert page.count('<img src="data:image/png;base64,') == 1


def test_a_network_that_sees_bone_elsewhere(
    experiment: Experiment, tmp_path: Path
) -> None:
    predicted = tiny_scan(0)[1].copy()
    predicted[2:7, 2:7, 1:11] = 1  # 6.75 ml, near enough partly
    write_nifti(tmp_path / "pred/full/f0.nii.gz", predicted, AFFINE)
    result = audit(
        experiment, tmp_path / "out", predictions_dir=tmp_path / "pred"
    )
    assert result.predicted_cases == 1
    (finding,) = [f for f in result.of_kind("disagreement")
                  if f.label == "bone"]  # fmt: skip
    assert finding.where == "full/f0"
    rows = {(r.database, r.label): r for r in result.disagreement}
    assert rows["full", "bone"].extra_cases == 1
    assert ("part", "bone") not in rows  # nothing was predicted there
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "A trained network disagrees" in page


def test_what_is_written_is_what_is_returned(
    experiment: Experiment, tmp_path: Path
) -> None:
    change_labels(tmp_path / "full/f0/labels.nii.gz", v1=77)
    result = audit(experiment, tmp_path / "out")
    content = json.loads((tmp_path / "out/audit.json").read_text("utf-8"))
    assert len(content["cases"]) == 7
    assert [f["kind"] for f in content["findings"]] == [
        f.kind for f in result.findings
    ]
    counts = [line.split()[0] for line in summary_lines(result)]
    assert len(counts) == len(KINDS)
    assert sum(map(int, counts[:-1])) == len(result.findings)
    assert counts[-1] == "-"  # nothing was compared with a network
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "audit.json",
        "index.html",
    ]


def test_some_databases(experiment: Experiment, tmp_path: Path) -> None:
    result = audit(experiment, tmp_path / "out", ["part"])
    assert {case.database for case in result.cases} == {"part"}
    assert [row.name for row in result.databases] == ["part"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"databases": ["ful"]}, "Did you mean 'full'"),
        ({"predictions_dir": "nowhere"}, "expected a folder of predictions"),
    ],
)
def test_wrong_arguments_leave_nothing(
    experiment: Experiment, tmp_path: Path, arguments: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        audit(experiment, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_prediction(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "pred").mkdir()
    with pytest.raises(InputError, match="of some case, found none"):
        audit(experiment, tmp_path / "out", predictions_dir=tmp_path / "pred")


def test_an_incomplete_database_is_an_error_before_anything(
    experiment: Experiment, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "part/p1/segmentations")
    with pytest.raises(InputError, match="'bone'"):
        audit(experiment, tmp_path / "out")


def test_a_place_that_cannot_be_written_to_is_told_at_once(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="expected a folder to write into"):
        audit(experiment, tmp_path / "out")


def test_databases_without_a_case(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "full").rename(tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "splits.json").write_text('{"part": {}}')
    with pytest.raises(InputError):
        audit(experiment, tmp_path / "out", ["full"])


def test_what_too_few_cases_leave_open_is_said(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Seven cases contain bone, four a left: no outlier could be found."""
    result = audit(experiment, tmp_path / "out")
    assert set(result.not_judged) == {"bone", "left", "right", "left+right"}
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "Fewer than 8 cases contain bone, left, right, left+right" in page
    one = next(c for c in result.cells if c.label == "bone")
    eight = replace(
        result, cells=(replace(one, found=5), replace(one, found=3))
    )
    assert eight.not_judged == ()
    assert "Fewer than 8" not in html_page(eight, {})


def test_a_range_of_one_value_is_that_value(
    experiment: Experiment, tmp_path: Path
) -> None:
    audit(experiment, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "<td>3 × 3 × 3</td>" in page


def test_what_a_case_does_not_annotate_is_no_disagreement(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Its background says nothing of bone, whatever a network sees there."""
    change_labels(tmp_path / "full/f0/labels.nii.gz", v1=0)
    predicted = np.full_like(tiny_scan(0)[1], 1)
    for case in ("f0", "f1"):
        write_nifti(tmp_path / f"pred/full/{case}.nii.gz", predicted, AFFINE)
    declared = experiment.model_dump()
    declared["databases"][0]["cases"] = {"f0": {"annotated": ["left", "right"]}}
    result = audit(
        Experiment.model_validate(declared),
        tmp_path / "out",
        predictions_dir=tmp_path / "pred",
    )
    assert result.predicted_cases == 2
    bone = [f.case for f in result.of_kind("disagreement") if f.label == "bone"]
    assert bone == ["f1"]


def test_a_prediction_on_another_grid_is_a_finding(
    experiment: Experiment, tmp_path: Path
) -> None:
    predicted = tiny_scan(0)[1][:-1]
    write_nifti(tmp_path / "pred/full/f0.nii.gz", predicted, AFFINE)
    result = audit(
        experiment, tmp_path / "out", predictions_dir=tmp_path / "pred"
    )
    (finding,) = result.of_kind("files")
    assert finding.where == "full/f0"
    assert finding.text.startswith("the prediction: expected the shape of")
    assert str(tmp_path) not in finding.text


def test_the_page_shows_what_was_declared_and_runs_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    declared = experiment.model_dump()
    declared["databases"][0]["licence"] = "CC BY <3.0> & more"
    result = audit(Experiment.model_validate(declared), tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "CC BY &lt;3.0&gt; &amp; more" in page
    hostile = Finding("files", "full", "f0", "", 1.0, "<script>LEAK:</script>")
    page = html_page(replace(result, findings=(hostile,)), {hostile: b"png"})
    marked = '&lt;script&gt;<span class="leak">LEAK:</span>'
    assert page.count(marked) == 2
    assert "<script>" not in page
