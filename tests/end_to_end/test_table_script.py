"""The whole table through the command a user types, shrunken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import verb
from shrunken import CONFIG, REPOSITORY, overrides, script

pytestmark = pytest.mark.slow
SYSTEMS = ("sl1", "pl", "mts", "mtt")


def declared(folder: Path) -> Path:
    content = {
        "experiment": str(CONFIG),
        "systems": [
            str(REPOSITORY / "configs" / "systems" / f"{name}.yaml")
            for name in SYSTEMS
        ],
        "full": ["phantom_supine"],
        "partial": ["phantom_prone"],
        "seeds": [0],
        "baseline": "SL1",
        "tables": {"systems": ["SL1", "PL", "MTt", "MTs"]},
        "dropout": {"last_two": [0.5, 0.5], "all_but_first_two": [0.5]},
        "database": "phantom_supine",
        "figure_cases": ["supine_04"],
        "output_dir": str(folder / "comparison"),
    }
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_table_is_made_once_and_told_again(workspace: Path) -> None:
    config = declared(workspace)
    shared = [f"experiment.{field}" for field in overrides(workspace)]
    text = script("table", "--config", config, "--jobs", 2, *shared)
    assert "3 of 3 runs done" in text  # MTs and MTt share one
    assert "total mean" in text
    results = workspace / "comparison" / "results"
    table = json.loads((results / "systems.json").read_text("utf-8"))
    assert [c["name"] for c in table["columns"]] == ["SL1", "PL", "MTt", "MTs"]
    assert all(c["missing_seeds"] == [] for c in table["columns"])
    assert (results / "figure.png").stat().st_size > 10_000
    assert (results / "curves.png").is_file()
    report = workspace / "comparison/records/pseudo_labels_of_sl1_seed0"
    assert (report / "pseudo_labels.json").is_file()

    before = (workspace / "comparison/runs/pl_seed0/journal.json").read_bytes()
    text = verb("table", "--config", config, *shared)
    assert "3 of 3 runs are finished" in text
    after = (workspace / "comparison/runs/pl_seed0/journal.json").read_bytes()
    assert after == before

    # What is trained is not mixed with what would be trained otherwise.
    other = [*shared, "experiment.fit.epochs=1"]
    text = verb("table", "--config", config, *other, expect=2)
    assert "output_dir" in text
    after = (workspace / "comparison/runs/pl_seed0/journal.json").read_bytes()
    assert after == before

    # Another use of the same weights trains nothing again.
    again = [*shared, "experiment.evaluate.tolerance_mm=4.0"]
    verb("table", "--config", config, "--only", "sl1_seed0", *again)
    assert "finished already" in (
        workspace / "comparison/logs/sl1_seed0.log"
    ).read_text("utf-8")
    scores = workspace / "comparison/runs/sl1_seed0/predictions/student"
    summary = json.loads((scores / "evaluation.json").read_text("utf-8"))
    assert summary["provenance"]["tolerance_mm"] == 4.0


def test_faults_of_a_comparison_are_told_together(tmp_path: Path) -> None:
    config = declared(tmp_path)
    faults = ["baseline=SL2", "database=supine"]
    text = verb(
        "table", "--config", config, *faults, "split=training", expect=2
    )
    assert "split" in text
    text = verb("table", "--config", config, *faults, expect=2)
    assert "'SL2'" in text
    assert "'supine'" in text
