"""What happened to each run: finished, failed, how long it took.

In: starts and ends of commands. Out: `<output_dir>/journal/<run>.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

import tfpartial
from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run
from tfpartial.config.training_identity import deciding_fields
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import file_hash, read_json, value_hash
from tfpartial.files.whole_file import write_whole

_CHECKSUM = "sha256"
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass
class Journal:
    """The record of one run.

    Attributes:
        training: hash of everything that decides its weights.
        evaluation: hash of what decides its scores beyond that.
        seconds: stage -> wall-clock seconds of all its attempts that ended,
            failed ones included.
        interrupted: a training was killed: its seconds are not known.
        stage: the stage that is being done; None between stages.
        finished: every stage is done.
        error: last words of a failed stage, or None.
    """

    training: str
    evaluation: str
    seconds: dict[str, Seconds] = field(default_factory=dict)
    interrupted: bool = False
    stage: str | None = None
    finished: bool = False
    error: str | None = None

    def write(self, path: Path) -> None:
        """Write beside, then rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(self)
        content[_CHECKSUM] = value_hash(content)
        write_whole(path, json.dumps(content, indent=1))

    @property
    def fit_seconds(self) -> float | None:
        """Seconds of the training; None where an attempt was killed."""
        return None if self.interrupted else self.seconds.get("fit")

    @property
    def total_seconds(self) -> float | None:
        """Seconds of all stages; None where a training was killed."""
        return None if self.interrupted else sum(self.seconds.values())


_JOURNAL = TypeAdapter(Journal)


def journal_path(comparison: Comparison, run: Run) -> Path:
    """Return the file of a run's journal."""
    return Path(comparison.output_dir) / "journal" / f"{run.name}.json"


def open_journal(comparison: Comparison, run: Run) -> Journal:
    """Read the journal of a run.

    Where only the evaluation has changed, the training stays done and keeps
    its seconds.

    Raises:
        InputError: the folder holds the run of other settings.
    """
    new = Journal(training_key(run), evaluation_key(comparison, run))
    journal = _read(journal_path(comparison, run))
    if journal is None:
        return new
    if journal.training != new.training:
        if (run.folder / "config.yaml").is_file():
            raise InputError(
                f"{run.folder}: expected a run of these settings, records "
                f"and version of tfpartial, found one of others. Choose "
                f"another output_dir, or remove this folder to train it again."
            )
        return new
    journal.interrupted |= journal.stage == "fit" and journal.error is None
    journal.finished &= journal.evaluation == new.evaluation
    journal.evaluation, journal.error = new.evaluation, None
    return journal


def _read(path: Path) -> Journal | None:
    """Return a journal; None if there is none that can be read.

    What is done again then does not train anew: fit knows what is finished.
    """
    try:
        content = read_json(path, "a journal (JSON)", "")
        checksum = content.pop(_CHECKSUM, None)  # none: an older one
        journal = _JOURNAL.validate_python(content)
        return (
            journal if checksum in (None, value_hash(asdict(journal))) else None
        )
    except (ValueError, TypeError, AttributeError):
        return None


def training_key(run: Run) -> str:
    """Return a hash of what decides the weights: settings, records, source."""
    weights = run.experiment.sampling.weights
    records = Path(run.source_records_dir)
    decides: dict[str, Any] = {
        "experiment": deciding_fields(run.experiment),
        "records": {
            name: _hash_records(records / name)
            for name, weight in sorted(weights.items())
            if weight > 0
        },
        "tfpartial": tfpartial.__version__,
    }
    if run.source is not None:
        decides["source"] = training_key(run.source)
        decides["source_network"] = run.source_network
        decides["source_predict"] = run.source.experiment.predict.model_dump(
            mode="json"
        )
    return value_hash(decides)


def evaluation_key(comparison: Comparison, run: Run) -> str:
    """Return a hash of what decides the scores of given weights."""
    evaluate = run.experiment.evaluate.model_dump(mode="json")
    del evaluate["workers"]
    return value_hash(
        {
            "predict": run.experiment.predict.model_dump(mode="json"),
            "evaluate": evaluate,
            "networks": run.networks,
            "databases": [*comparison.full, *comparison.partial],
            "split": comparison.split,
        }
    )


def _hash_records(folder: Path) -> str:
    """Return the hash of a database's case list: it names the records."""
    files = sorted(folder.glob("*/cases.json"))
    if not files:
        raise InputError(
            f"{folder}: expected records, found none. Run table without "
            f"--no_training, which builds them."
        )
    return file_hash(files[-1])
