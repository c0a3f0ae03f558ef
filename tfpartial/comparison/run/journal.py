"""Which runs are finished, and how long they took.

In: starts and ends of commands. Out: two files in the run directory:
`journal.json`, the seconds of each stage; once all stages are done
`finished.json`, a stamp: made by which settings, and still whole?
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

import tfpartial
from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run
from tfpartial.config.training_identity import deciding_fields
from tfpartial.errors import InputError
from tfpartial.evaluation.table import SCORES_FILE, SUMMARY_FILE
from tfpartial.files.safe_reading import file_hash, read_json
from tfpartial.files.stamp import check_stamp, write_stamp
from tfpartial.files.whole_file import write_whole

log = logging.getLogger(__name__)
JOURNAL_FILE, FINISHED_FILE = "journal.json", "finished.json"
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass
class Journal:
    """How long the stages of one run took.

    Attributes:
        seconds: stage -> wall-clock seconds of all its attempts, failed ones
            included; None: one of them was killed, so nobody knows.
        stage: the stage that is being done; None between stages.
    """

    seconds: dict[str, Seconds | None] = field(default_factory=dict)
    stage: str | None = None

    def begin(self, stage: str, run: Run) -> None:
        """Note that a stage begins."""
        self.stage = stage
        self._write(run)

    def end(self, stage: str, seconds: float, run: Run) -> None:
        """Note that a stage has ended, well or not."""
        before = self.seconds.get(stage, 0.0)
        self.seconds[stage] = None if before is None else before + seconds
        self.stage = None
        self._write(run)

    def _write(self, run: Run) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1)
        write_whole(run.folder / JOURNAL_FILE, text)


_JOURNAL = TypeAdapter(Journal)


def open_journal(run: Run) -> Journal:
    """Read the journal of a run; begin anew where there is none.

    Not known are the seconds of a stage that was being done when its call was
    killed, and of the training where the journal cannot be read.
    """
    path = run.folder / JOURNAL_FILE
    try:
        content = read_json(path, "a journal (JSON)", "")
        journal = _JOURNAL.validate_python(content)
    except ValueError:
        return Journal({"fit": None} if path.exists() else {})
    if journal.stage is not None:
        journal.seconds[journal.stage] = None
        journal.stage = None
    return journal


def mark_finished(comparison: Comparison, run: Run) -> None:
    """Vouch for the scores of a run whose stages are all done."""
    outputs = [run.folder / JOURNAL_FILE]
    for network in run.networks:
        folder = run.predictions(network)
        outputs += [folder / SCORES_FILE, folder / SUMMARY_FILE]
    write_stamp(run.folder / FINISHED_FILE, _key(comparison, run), outputs)


def is_finished(comparison: Comparison, run: Run) -> bool:
    """Tell whether all stages of a run are done as declared, and still whole.

    What is not is done again, and only that: every stage knows what it has
    done. A training is never replaced by one of other settings.

    Raises:
        InputError: the folder holds the finished run of another training.
    """
    stamp = run.folder / FINISHED_FILE
    try:
        before = check_stamp(stamp, "It counts as not finished.")
    except InputError as error:
        if stamp.exists():
            log.warning("%s", error)
        return False
    key = _key(comparison, run)
    if before.get("training") == key["training"]:
        return before == key
    raise InputError(
        f"{run.folder}: expected a run of these settings, records and version "
        f"of tfpartial, found one of others. Choose another output_dir, or "
        f"remove this folder to train it again."
    )


def _key(comparison: Comparison, run: Run) -> dict[str, Any]:
    """Return everything that the scores of a run depend on."""
    return {
        "training": training_key(run),
        "evaluation": {
            **run.experiment.model_dump(
                mode="json",
                include={"predict", "evaluate"},
                exclude={"evaluate": {"workers"}},
            ),
            "networks": list(run.networks),
            "databases": [*comparison.full, *comparison.partial],
            "split": comparison.split,
        },
    }


def training_key(run: Run) -> dict[str, Any]:
    """Return what decides the weights: settings, records, source, version."""
    weights = run.experiment.sampling.weights
    records = Path(run.source_records_dir)
    key: dict[str, Any] = {
        "experiment": deciding_fields(run.experiment),
        "records": {
            name: _hash_records(records / name)
            for name, weight in sorted(weights.items())
            if weight > 0
        },
        "tfpartial": tfpartial.__version__,
    }
    if run.source is not None:
        key["source"] = training_key(run.source)
        key["source_network"] = run.source_network
        key["source_predict"] = run.source.experiment.predict.model_dump(
            mode="json"
        )
    return key


def _hash_records(folder: Path) -> str:
    """Return the hash of a database's case list: it names the records."""
    files = sorted(folder.glob("*/cases.json"))
    if not files:
        raise InputError(
            f"{folder}: expected records, found none. Run table without "
            f"--no_training, which builds them."
        )
    return file_hash(files[-1])
