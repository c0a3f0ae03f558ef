"""The audit through the command a user types, with and without a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import verb
from shrunken import CONFIG, overrides, script

pytestmark = pytest.mark.slow


def test_the_phantom_has_no_fault_and_says_so(workspace: Path) -> None:
    out = workspace / "audit"
    text = script("audit", "--config", CONFIG, "--out_dir", out,
                  *overrides(workspace), TF_CPP_MIN_LOG_LEVEL="0")  # fmt: skip
    assert "oneDNN" not in text  # TensorFlow says so when it is imported
    assert "   0  The same scan twice" in text
    content = json.loads((out / "audit.json").read_text("utf-8"))
    assert content["findings"] == []
    couches = {row["name"]: row["couch"] for row in content["databases"]}
    assert couches == {
        "phantom_supine": {"posterior": 4},
        "phantom_prone": {"anterior": 2},
    }
    assert str(workspace) not in (out / "index.html").read_text("utf-8")


def test_a_run_is_compared_with_every_case(
    workspace: Path, finished_run: Path
) -> None:
    out = workspace / "audit_of_run"
    arguments = ["--config", CONFIG, "--out_dir", out, "--run_dir",
                 finished_run, *overrides(workspace)]  # fmt: skip
    verb("audit", *arguments)
    content = json.loads((out / "audit.json").read_text("utf-8"))
    # Two steps of training know nothing: every database disagrees.
    rows = {row["database"]: row["cases"] for row in content["disagreement"]}
    assert rows == {"phantom_supine": 4, "phantom_prone": 2}
    kinds = {finding["kind"] for finding in content["findings"]}
    assert kinds == {"disagreement"}
    made = out / "predictions/phantom_supine/supine_01.nii.gz"
    before = made.stat().st_mtime_ns
    verb("audit", *arguments)
    assert made.stat().st_mtime_ns == before


def test_wrong_flags_are_exit_code_2(
    workspace: Path, finished_run: Path, tmp_path: Path
) -> None:
    arguments = ["--config", CONFIG, "--out_dir", tmp_path / "out",
                 *overrides(workspace)]  # fmt: skip
    text = verb("audit", *arguments, "--run_dir", finished_run,
                "--predictions_dir", tmp_path, expect=2)  # fmt: skip
    assert "--run_dir" in text
    assert "--predictions_dir" in text
    text = verb("audit", *arguments, "--databases", "phantom_suppine",
                expect=2)  # fmt: skip
    assert "phantom_suppine" in text
    assert "'phantom_supine'" in text
    assert not (tmp_path / "out").exists()
