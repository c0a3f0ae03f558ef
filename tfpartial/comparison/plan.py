"""A comparison -> the runs it needs, each an experiment of its own.

In: a `Comparison`, the experiment that its systems share.
Out: `Run`s in an order in which each can follow those it depends on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from tfpartial.comparison.declare import Comparison, StudentOrTeacher, System
from tfpartial.config import Experiment
from tfpartial.config.load import override_experiment
from tfpartial.errors import Faults

_FOR_ALL = "the 'overrides' of the comparison: all systems share it"
# What a system's overrides must leave alone, and where it belongs instead.
_DECIDED_ELSEWHERE = {
    "seed": "'seeds' of the comparison",
    "run_dir": "'output_dir' of the comparison",
    "records_dir": "'output_dir' of the comparison",
    "label_space": _FOR_ALL,
    "databases": _FOR_ALL,
    "phantom": _FOR_ALL,
    "preprocess": _FOR_ALL,
    "build": _FOR_ALL,
    "evaluate": _FOR_ALL,
    "fit.teacher": "'consistency' of the system",
    "predict.network": "'network' of the system",
}


@dataclass(frozen=True)
class Run:
    """One training: what it declares, and where its output goes.

    Attributes:
        name: such as "ace_mt_seed0"; unique, and names its files.
        systems: names of the systems that read this run.
        seed: of the run.
        experiment: what is trained; its run_dir is `<output_dir>/runs/<name>`.
        networks: which networks are evaluated.
        source: the run whose predictions are its pseudo-labels, or None.
        source_network: which network of the source predicts them.
        source_records_dir: records that the pseudo-labels are added to.
    """

    name: str
    systems: tuple[str, ...]
    seed: int
    experiment: Experiment
    networks: tuple[StudentOrTeacher, ...]
    source: Run | None
    source_network: StudentOrTeacher | None
    source_records_dir: str

    @property
    def folder(self) -> Path:
        """The run directory."""
        return Path(self.experiment.run_dir)

    def predictions(self, network: StudentOrTeacher) -> Path:
        """Where the label maps and scores of a network go."""
        return self.folder / "predictions" / network


def plan_runs(comparison: Comparison, base: Experiment) -> list[Run]:
    """Return one run per training and seed.

    Systems that train alike (MTs and MTt; MT and MTs+) share a run, so the
    paper's eleven columns need nine. All systems of a seed come before those
    of the next, a source of pseudo-labels before who needs it.
    """
    runs: list[Run] = []
    for seed in comparison.seeds:
        of_system: dict[str, Run] = {}
        for system in sorted(
            comparison.systems, key=lambda s: s.pseudo_labels_of is not None
        ):
            if system.name in of_system:
                continue
            source = of_system.get(system.pseudo_labels_of or "")
            run = _run(comparison, base, system, seed, source)
            of_system |= dict.fromkeys(run.systems, run)
            runs.append(run)
    return runs


def run_of(runs: list[Run], system: str, seed: int) -> Run:
    """Return the run that a system reads for a seed."""
    return next(r for r in runs if system in r.systems and r.seed == seed)


def system_experiment(
    comparison: Comparison, base: Experiment, system: System, seed: int
) -> Experiment:
    """Return the experiment of one system: docs/comparison.md.

    Changed are: seed, weights of databases (0 where a system leaves them
    out), supervision of the partially annotated ones, teacher on or off,
    dropout of the last stages, which network is used; then what the system
    overrides. Nothing else.

    Raises:
        InputError: an override that is no field, has no possible value, or
            changes what the comparison decides.
    """
    partial = comparison.partial if system.databases == "all" else []
    used = [*comparison.full, *partial]
    weights = base.sampling.weights
    sampling = {
        "weights": {
            database.name: weights.get(database.name, 1.0)
            if database.name in used
            else 0.0
            for database in base.databases
        },
        "supervision": {
            **{name: "partial" for name in comparison.full},
            **{name: system.supervision for name in partial},
        },
    }
    dropout = getattr(comparison.dropout, system.dropout)
    experiment = _replace(
        base,
        seed=seed,
        sampling=_replace(base.sampling, **sampling),
        # How many rates there may be, the loading of a comparison checks.
        network=base.network.model_copy(update={"dropout": dropout}),
        fit=_replace(base.fit, teacher=system.consistency),
        predict=_replace(base.predict, network=system.network),
    )
    if not system.overrides:
        return experiment
    changed = override_experiment(
        experiment, system.overrides, Path(comparison.experiment)
    )
    _check_decided(experiment, changed)
    return changed


def _check_decided(experiment: Experiment, changed: Experiment) -> None:
    """Refuse overrides of what another field of the comparison decides."""
    with Faults() as faults:
        for field, place in _DECIDED_ELSEWHERE.items():
            value = attrgetter(field)
            if value(changed) != value(experiment):
                faults.add(
                    f"overrides: expected '{field}' to stay as it is, found "
                    f"it changed. Set it by {place}."
                )


def _run(
    comparison: Comparison,
    base: Experiment,
    system: System,
    seed: int,
    source: Run | None,
) -> Run:
    """Return the run of a system and of all that train alike."""
    alike = [s for s in comparison.systems if s.training == system.training]
    output = Path(comparison.output_dir)
    name = f"{slug(system.name)}_seed{seed}"
    experiment = _replace(
        system_experiment(comparison, base, system, seed),
        run_dir=str(output / "runs" / name),
        records_dir=base.records_dir
        if source is None
        else str(output / "records" / f"pseudo_labels_of_{source.name}"),
    )
    return Run(
        name=name,
        systems=tuple(s.name for s in alike),
        seed=seed,
        experiment=experiment,
        networks=tuple(dict.fromkeys(s.network for s in alike)),
        source=source,
        source_network=None
        if system.pseudo_labels_of is None
        else comparison.system(system.pseudo_labels_of).network,
        source_records_dir=base.records_dir,
    )


def slug(name: str) -> str:
    """Return a name that a file may have: "ACE/MT" -> "ace_mt"."""
    text = name.lower().replace("+", "_plus")
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _replace(model: Any, **fields: Any) -> Any:
    """Return a declared model with other fields, checked like from a file."""
    return type(model).model_validate(dict(model) | fields)
