"""What happened to each run: finished, failed, how long it took.

In: starts and ends of commands. Out: `<output_dir>/journal/<run>.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tfpartial.comparison.runs import Run
from tfpartial.config.comparison import Comparison


@dataclass
class Journal:
    """The record of one run.

    Attributes:
        key: hash of everything that decides the run's numbers.
        seconds: stage -> wall-clock seconds of its completed attempts, a
            failed one included.
        interrupted: an attempt was killed: its seconds are not known, so
            `seconds` is a lower bound.
        stage: the stage that is being done; None between stages.
        finished: every stage is done.
        error: last words of a failed stage, or None.
    """

    key: str
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    stage: str | None = None
    finished: bool = False
    error: str | None = None

    def write(self, path: Path) -> None:
        """Write beside, then rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(beside, path)


def journal_path(comparison: Comparison, run: Run) -> Path:
    """Return the file of a run's journal."""
    return Path(comparison.output_dir) / "journal" / f"{run.name}.json"


def open_journal(comparison: Comparison, run: Run) -> Journal:
    """Read the journal of a run; a new one if its settings have changed."""
    path, key = journal_path(comparison, run), run_key(comparison, run)
    if not path.is_file():
        return Journal(key)
    journal = Journal(**json.loads(path.read_text(encoding="utf-8")))
    if journal.key != key:
        return Journal(key)
    journal.interrupted |= journal.stage is not None and journal.error is None
    journal.error = None
    return journal


def run_key(comparison: Comparison, run: Run) -> str:
    """Return a hash of what decides a run: experiment, records, source."""
    manifest = Path(run.source_records_dir) / "manifest.json"
    decides: dict[str, Any] = {
        "experiment": run.experiment.model_dump(mode="json"),
        "networks": run.networks,
        "evaluated": [comparison.full, comparison.partial, comparison.split],
        "strategy": comparison.strategy,
        "records": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "source": run.source and run_key(comparison, run.source),
    }
    text = yaml.safe_dump(decides, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
