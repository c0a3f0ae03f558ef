"""A comparison on the phantom's experiment, with records that are a stub."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.load import load_comparison
from tfpartial.config import Experiment

CONFIGS = Path(__file__).parents[2] / "configs"
SYSTEMS = sorted((CONFIGS / "systems").glob("*.yaml"))


@pytest.fixture
def declared(tmp_path: Path) -> tuple[Comparison, Experiment]:
    content = {
        "experiment": str(CONFIGS / "phantom.yaml"),
        "systems": [str(path) for path in SYSTEMS],
        "full": ["phantom_supine"],
        "partial": ["phantom_prone"],
        "overrides": ["fit.epochs=3"],
        "seeds": [0, 1],
        "baseline": "SL1",
        "tables": {"systems": ["SL1", "ACE"]},
        "dropout": {"all_but_first_two": [0.5] * 5},
        "database": "phantom_supine",
        "output_dir": str(tmp_path / "out"),
    }
    path = tmp_path / "comparison.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    records = tmp_path / "records"
    for name in ("phantom_supine", "phantom_prone"):
        (records / name / "1.0.0").mkdir(parents=True)
        (records / name / "1.0.0" / "cases.json").write_text("{}")
    return load_comparison(path, [f"experiment.records_dir={records}"])
