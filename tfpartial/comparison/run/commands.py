"""The commands of one run: those a user would type."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run
from tfpartial.config import Experiment
from tfpartial.models.registry import is_foreign

PROGRAM = (sys.executable, "-m", "tfpartial.cli.main")


def commands_of(
    run: Run, comparison: Comparison, config: Path
) -> Iterator[tuple[str, list[str]]]:
    """Yield (stage, command) of a run, in order.

    Args:
        run: what to train.
        comparison: split and databases to evaluate, strategy.
        config: file with the run's experiment.
    """
    trust = _trust(run.experiment)
    if run.source is not None:
        yield (
            "pseudo-label",
            [
                *PROGRAM, "pseudo-label", "--config", str(config),
                *_trust(run.source.experiment),
                "--run_dir", str(run.source.folder),
                "--target_records_dir", run.experiment.records_dir,
                "--databases", *comparison.partial,
                f"records_dir={run.source_records_dir}",
                *_settings(run.source.experiment, ("predict",)),
                f"predict.network={run.source_network}",
            ],
        )  # fmt: skip
    yield (
        "fit",
        [
            *PROGRAM, "fit", "--config", str(config),
            "--strategy", comparison.strategy, *trust,
        ],
    )  # fmt: skip
    # A run keeps the config it was begun with; how it is used may change.
    settings = [*_settings(run.experiment, ("predict", "evaluate"))]
    for network in run.networks:
        common = [
            "--run_dir", str(run.folder), "--split", comparison.split,
            "--databases", *comparison.full, *comparison.partial,
            "--predictions_dir", str(run.predictions(network)),
            *settings, f"predict.network={network}",
        ]  # fmt: skip
        yield f"predict {network}", [*PROGRAM, "predict", *common, *trust]
        yield f"evaluate {network}", [*PROGRAM, "evaluate", *common]


def _trust(experiment: Experiment) -> list[str]:
    """Return the flag, if this call was given it: no config can grant it."""
    network = experiment.network
    trusted = is_foreign(network.name) and network.trust_code
    return ["--trust_code"] if trusted else []


def _settings(
    experiment: Experiment, sections: tuple[str, ...]
) -> Iterator[str]:
    """Yield the fields of some sections as overrides."""
    declared = experiment.model_dump(mode="json", include=set(sections))
    for section in sections:
        for name, value in declared[section].items():
            if name != "network":
                yield f"{section}.{name}={json.dumps(value)}"
