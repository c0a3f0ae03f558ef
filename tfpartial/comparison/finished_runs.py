"""Finished runs -> one systems table.

In: what the stages of each run wrote. Out: `SystemsTable` of one database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean

import numpy as np

from tfpartial.comparison.declare import Comparison, StudentOrTeacher
from tfpartial.comparison.plan import Run
from tfpartial.comparison.run.journal import open_journal
from tfpartial.comparison.statistics.build import build_systems_table
from tfpartial.comparison.statistics.systems_table import Cost, SystemsTable
from tfpartial.config import Experiment, label_space_of
from tfpartial.databases import stored_values
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.errors import InputError
from tfpartial.evaluation import Score, read_evaluation


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run has come to.

    Attributes:
        run: as planned.
        scores: of every network that is evaluated, of all databases.
        fit_seconds: wall clock of its training; None if unknown.
    """

    run: Run
    scores: Mapping[StudentOrTeacher, tuple[Score, ...]]
    fit_seconds: float | None

    @classmethod
    def read(cls, run: Run) -> FinishedRun:
        """Read what the stages of a run wrote."""
        scores = {
            network: read_evaluation(run.predictions(network)).scores
            for network in run.networks
        }
        return cls(run, scores, open_journal(run).seconds.get("fit"))


def build_table(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[FinishedRun],
    columns: Sequence[str],
    *,
    database: str | None = None,
    exclude: Mapping[str, str] | None = None,
) -> SystemsTable:
    """Build one table from the runs that are finished.

    Args:
        comparison: as declared.
        base: the experiment that the systems share.
        finished: a system without a run has an empty column.
        columns: systems.
        database: whose scans; default: the comparison's. Rows are the labels
            that it resolves.
        exclude: case -> label that is not counted.

    Raises:
        InputError: no run of the baseline is finished.
    """
    database = database or comparison.database
    aliases = _find_aliases(comparison, columns)
    of_system = {
        system: [done for done in finished if system.name in done.run.systems]
        for system in comparison.systems
        if system.name not in aliases
    }
    scores = {
        system.name: {
            done.run.seed: [
                score
                for score in done.scores[system.network]
                if score.database == database
            ]
            for done in runs
        }
        for system, runs in of_system.items()
    }
    if not scores[comparison.baseline]:
        raise InputError(
            f"{comparison.output_dir}: no run of the baseline "
            f"'{comparison.baseline}' is finished; nothing to compare with. "
            f"Train it: the same command without --no_training."
        )
    shared = find_overlapping_labels(comparison, base)
    # A merged structure's name, such as "left+right", is no label's.
    scored = {s.label for s in chain(*scores[comparison.baseline].values())}
    labels = [name for name in label_space_of(base).names if name in scored]
    return build_systems_table(
        scores,
        labels=labels,
        overlapping=[label for label in labels if label in shared],
        baseline=comparison.baseline,
        columns=columns,
        aliases=aliases,
        expected_seeds=comparison.seeds,
        costs={s.name: _cost(runs) for s, runs in of_system.items() if runs},
        exclude=exclude or {},
        provenance={
            "comparison": {
                **comparison.model_dump(mode="json", exclude={"output_dir"}),
                "experiment": Path(comparison.experiment).name,
            },
            "database": database,
            "fit": base.fit.model_dump(mode="json"),
            "network": base.network.model_dump(mode="json"),
            "notice": "Research use only",
        },
    )


def find_overlapping_labels(
    comparison: Comparison, base: Experiment
) -> list[str]:
    """Return the labels in every database's label set: docs/comparison.md."""
    space = label_space_of(base)
    used = {*comparison.full, *comparison.partial}
    sets = [
        annotated_labels(database, stored_values(database, space), space)
        for database in base.databases
        if database.name in used
    ]
    everywhere = np.logical_and.reduce(sets)
    return [space.names[i] for i in np.flatnonzero(everywhere) if i > 0]


def _find_aliases(
    comparison: Comparison, columns: Sequence[str]
) -> dict[str, str]:
    """Return column -> the earlier system that it repeats."""
    first: dict[object, str] = {}
    aliases = {}
    for system in comparison.systems:
        key = (system.training, system.network)
        if key in first and system.name in columns:
            aliases[system.name] = first[key]
        first.setdefault(key, system.name)
    return aliases


def _cost(runs: Sequence[FinishedRun]) -> Cost:
    """Return the mean cost of a system's trainings, without its sources'."""
    seconds = [done.fit_seconds for done in runs]
    known = [s for s in seconds if s is not None]
    fit = runs[0].run.experiment.fit
    return Cost(
        seconds=fmean(known) if len(known) == len(runs) else None,
        patches=fit.epochs * fit.steps_per_epoch * fit.global_batch_size,
    )
