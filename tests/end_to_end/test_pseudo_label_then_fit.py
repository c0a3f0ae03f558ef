"""Two stages in processes of their own: a run, its pseudo-labels, a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import verb
from shrunken import CONFIG, overrides, script

pytestmark = pytest.mark.slow


def test_a_run_on_pseudo_labels(workspace: Path, finished_run: Path) -> None:
    target = workspace / "pseudo"
    arguments = ["--config", CONFIG, "--run_dir", finished_run,
                 "--target_records_dir", target]  # fmt: skip
    text = script("pseudo_label", *arguments, *overrides(workspace))
    assert "phantom_supine: copied unchanged" in text
    report = json.loads((target / "pseudo_labels.json").read_text("utf-8"))
    prone = report["databases"]["phantom_prone"]
    assert list(prone["cases"]) == ["prone_01"]
    assert list(prone["labels"]) == [
        "bones", "femoral_head_left", "femoral_head_right"
    ]  # fmt: skip
    text = verb("pseudo-label", *arguments, *overrides(workspace))
    assert "phantom_prone: up to date" in text

    # The phantom's records are not built over those of the target.
    cases = target / "phantom_prone" / "1.0.0" / "cases.json"
    before = cases.read_bytes()
    text = verb(
        "fit", "--config", CONFIG, "--strategy", "none",
        "--run_dir", workspace / "run_pl",
        *overrides(workspace), f"records_dir={target}",
        "sampling.supervision.phantom_prone=naive", "fit.epochs=1",
    )  # fmt: skip
    assert "phantom_prone: the records carry pseudo-labels" in text
    assert (workspace / "run_pl" / "student.weights.h5").is_file()
    assert cases.read_bytes() == before
