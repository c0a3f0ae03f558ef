"""Which network made which prediction: a rerun skips only its own work.

In: a prediction and what made it. Out: `provenance.json` in its folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpartial import __version__
from tfpartial.config import Predict
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import read_json
from tfpartial.files.whole_file import write_whole
from tfpartial.runs.loaded_run import LoadedRun, file_hash

FILE_NAME = "provenance.json"
# Speed only: another value gives the same segmentation.
_WITHOUT_EFFECT = {"windows_per_batch"}


@dataclass(frozen=True)
class Job:
    """One scan to segment.

    Attributes:
        source: NIfTI file of the scan, HU.
        output: where its label map belongs.
        prone_turn: the affine does not know that the patient lies prone.
    """

    source: Path
    output: Path
    prone_turn: bool = False


def prediction_key(
    run: LoadedRun, options: Predict, weights_hash: str, job: Job
) -> dict[str, Any]:
    """Return everything a segmentation depends on, as JSON values."""
    experiment = run.experiment
    return {
        "tfpartial": __version__,
        "use": "Research use only",
        "weights_sha256": weights_hash,
        "scan_sha256": file_hash(job.source),
        "prone_turn": job.prone_turn,
        "labels": list(run.space.names),
        "network": experiment.network.model_dump(mode="json"),
        "preprocess": experiment.preprocess.model_dump(mode="json"),
        "predict": options.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "window_shape": list(options.window_shape or run.window_shape),
    }


class Provenance:
    """The table of a folder: output name -> what made it.

    An entry is written after its output, so that a kill in between repeats
    the scan instead of trusting a file of unknown origin.
    """

    def __init__(self, folder: Path) -> None:
        """Read the table; a damaged one is as none.

        Raises:
            InputError: a folder lies where it belongs.
        """
        self.path = folder / FILE_NAME
        self.entries: dict[str, Any] = {}
        if self.path.is_dir():  # before minutes are spent on a first scan
            raise InputError(
                f"{self.path}: expected a table (JSON) or nothing, found a "
                f"folder. Remove it, or choose another predictions folder."
            )
        if self.path.is_file():
            try:
                entries = read_json(self.path, "a table (JSON)", "")
            except InputError:
                entries = None
            # A damaged table vouches for nothing: everything is done again.
            self.entries = entries if isinstance(entries, dict) else {}

    def holds(self, output: Path, key: dict[str, Any]) -> bool:
        """Tell whether an output exists and was made by exactly this."""
        entry = self.entries.get(output.name)
        if not isinstance(entry, dict) or not output.is_file():
            return False
        made = {**entry}
        return (
            made.pop("output_sha256", None) == file_hash(output) and made == key
        )

    def add(self, output: Path, key: dict[str, Any]) -> None:
        """Record what made an output, atomically."""
        self.entries[output.name] = {
            **key,
            "output_sha256": file_hash(output),
        }
        text = json.dumps(self.entries, indent=1, sort_keys=True)
        write_whole(self.path, text)
