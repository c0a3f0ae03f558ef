"""What leaves a site carries case ids: every output of every stage searched.

The scans lie in a folder with a patient's name, and carry it in every free
text of their headers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import verb
from identifying import NAME, files_that_name, plant
from shrunken import CONFIG, overrides

pytestmark = pytest.mark.slow


def test_no_output_names_a_patient(tmp_path: Path) -> None:
    scans, out = tmp_path / NAME / "phantom", tmp_path / "out"
    out.mkdir()
    declared = [*overrides(out), f"phantom.path={scans}",
                "fit.epochs=1", "fit.validation.every_epochs=1"]  # fmt: skip
    verb("phantom", "--config", CONFIG, *declared)
    plant(scans)
    run = out / "run"
    said = [
        verb("build", "--config", CONFIG, *declared),
        verb("fit", "--config", CONFIG, "--strategy", "none",
               "--run_dir", run, *declared),
        verb("predict", "--run_dir", run, "--split", "test",
               "--predictions_dir", out / "predictions",
               "predict.probabilities=true"),
        verb("predict", "--run_dir", run, "--inputs",
               next(scans.rglob("supine_04/ct.nii.gz")),
               "--predictions_dir", out / "files"),
        verb("evaluate", "--run_dir", run,
               "--predictions_dir", out / "predictions"),
        verb("export", "--run_dir", run, "--export_dir", out / "export"),
        verb("pseudo-label", "--config", CONFIG, *declared,
               "--run_dir", run, "--target_records_dir", out / "pseudo"),
        verb("audit", "--config", CONFIG, *declared,
               "--run_dir", run, "--out_dir", out / "audit"),
    ]  # fmt: skip
    for text in said:
        assert NAME not in text
    # The only file that says where scans lie: else no run could be repeated.
    assert files_that_name(out) == ["run/config.yaml"]
    # What cannot be read is a fault of a file, said by case.
    damaged = scans / "supine" / "supine_04" / "ct.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    verb("audit", "--config", CONFIG, *declared, "--run_dir", run,
           "--out_dir", out / "audit_again")  # fmt: skip
    page = (out / "audit_again" / "index.html").read_text("utf-8")
    assert "phantom_supine/supine_04" in page
    assert "truncated" in page
    assert files_that_name(out) == ["run/config.yaml"]
