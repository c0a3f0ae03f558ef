"""The commands of one run: those a user would type."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tfpartial.comparison.runs import Run
from tfpartial.config.comparison import Comparison

PROGRAM = (sys.executable, "-m", "tfpartial.cli.main")


def commands_of(
    run: Run, comparison: Comparison, config: Path
) -> Iterator[tuple[str, list[str]]]:
    """Yield (stage, command) of a run, in order.

    Args:
        run: what to train.
        comparison: split and database to evaluate, strategy.
        config: file with the run's experiment.
    """
    if run.source is not None:
        yield (
            "pseudo-label",
            [
                *PROGRAM, "pseudo-label", "--config", str(config),
                "--run_dir", str(run.source.folder),
                "--target_records_dir", run.experiment.records_dir,
                "--databases", *comparison.partial,
                f"records_dir={run.source_records_dir}",
            ],
        )  # fmt: skip
    yield (
        "fit",
        [
            *PROGRAM, "fit", "--config", str(config),
            "--strategy", comparison.strategy,
        ],
    )  # fmt: skip
    for network in run.networks:
        common = [
            "--run_dir", str(run.folder), "--split", comparison.split,
            "--databases", *comparison.full, *comparison.partial,
            "--predictions_dir", str(run.predictions(network)),
            f"predict.network={network}",
        ]  # fmt: skip
        yield f"predict {network}", [*PROGRAM, "predict", *common]
        yield f"evaluate {network}", [*PROGRAM, "evaluate", *common]
