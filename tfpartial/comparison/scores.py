"""The scores of finished runs -> one systems table.

In: a comparison's finished runs. Out: `SystemsTable` per table and database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfpartial.comparison.declare import Comparison, Which
from tfpartial.comparison.plan import Run
from tfpartial.comparison.run.journal import open_journal
from tfpartial.comparison.statistics.build import build_systems_table
from tfpartial.comparison.statistics.systems_table import Cost, SystemsTable
from tfpartial.config import Experiment, label_space_of
from tfpartial.databases import stored_values
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.errors import InputError
from tfpartial.evaluation.scores import Score
from tfpartial.evaluation.table import read_evaluation

Scores = dict[str, dict[int, tuple[Score, ...]]]


def table_of(
    comparison: Comparison,
    base: Experiment,
    finished: Sequence[Run],
    columns: Sequence[str],
    *,
    database: str | None = None,
    exclude: Mapping[str, str] | None = None,
) -> SystemsTable:
    """Build one table from the runs that are finished.

    Args:
        comparison: as declared.
        base: the experiment that the systems share.
        finished: runs to read; a system without one has an empty column.
        columns: systems.
        database: whose scans; default: the comparison's. Rows are the labels
            that it resolves.
        exclude: case -> label that is not counted.

    Raises:
        InputError: no run of the baseline is finished.
    """
    database = database or comparison.database
    scores: Scores = {
        system.name: {
            run.seed: read_scores(run, system.network, database)
            for run in finished
            if system.name in run.systems
        }
        for system in comparison.systems
    }
    if not scores[comparison.baseline]:
        raise InputError(
            f"{comparison.output_dir}: no run of the baseline "
            f"'{comparison.baseline}' is finished; nothing to compare with."
        )
    aliases = _aliases(comparison, columns)
    for alias in aliases:
        del scores[alias]
    labels = _labels(scores[comparison.baseline], base)
    shared = overlapping_labels(comparison, base)
    return build_systems_table(
        scores,
        labels=labels,
        overlapping=[label for label in labels if label in shared],
        baseline=comparison.baseline,
        columns=columns,
        aliases=aliases,
        expected_seeds=comparison.seeds,
        costs=_costs(comparison, finished),
        exclude=exclude,
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


def _labels(
    of_seed: Mapping[int, Sequence[Score]], base: Experiment
) -> list[str]:
    """Return the labels that were scored singly, in the label space's order."""
    # A merged structure's name, such as "left+right", is no label's.
    scored = {s.label for scores in of_seed.values() for s in scores}
    return [name for name in label_space_of(base).names if name in scored]


def overlapping_labels(comparison: Comparison, base: Experiment) -> list[str]:
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


def read_scores(run: Run, network: Which, database: str) -> tuple[Score, ...]:
    """Return the scores of a finished run, of one database."""
    table = read_evaluation(run.predictions(network))
    return tuple(s for s in table.scores if s.database == database)


def _aliases(comparison: Comparison, columns: Sequence[str]) -> dict[str, str]:
    """Return column -> the earlier system that it repeats."""
    first: dict[object, str] = {}
    aliases = {}
    for system in comparison.systems:
        key = (system.training, system.network)
        if key in first and system.name in columns:
            aliases[system.name] = first[key]
        first.setdefault(key, system.name)
    return aliases


def _costs(comparison: Comparison, finished: Sequence[Run]) -> dict[str, Cost]:
    """Return the mean cost of each system's trainings, without its sources'."""
    costs = {}
    for system in comparison.systems:
        runs = [run for run in finished if system.name in run.systems]
        if not runs:
            continue
        fit = runs[0].experiment.fit
        seconds = [open_journal(comparison, r).fit_seconds for r in runs]
        known = [s for s in seconds if s is not None]
        patches = fit.epochs * fit.steps_per_epoch * fit.global_batch_size
        mean = float(np.mean(known)) if len(known) == len(runs) else None
        costs[system.name] = Cost(mean, patches)
    return costs
