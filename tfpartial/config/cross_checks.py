"""What one field of an `Experiment` says about another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfpartial.config.database import IGNORE, Database
from tfpartial.config.experiment import Experiment
from tfpartial.errors import Faults, InputError, did_you_mean, join_names
from tfpartial.labels import Label, LabelSpace, unpaired_sides


def label_space_of(experiment: Experiment) -> LabelSpace:
    """Build the label space that an experiment declares."""
    return LabelSpace(
        tuple(Label(**entry.model_dump()) for entry in experiment.label_space)
    )


def trained_databases(experiment: Experiment) -> list[str]:
    """Return the databases that patches are drawn from: of positive weight."""
    weights = experiment.sampling.weights
    names = [database.name for database in experiment.databases]
    return [name for name in names if weights.get(name, 1.0) > 0]


def check_meaning(experiment: Experiment, path: Path) -> None:
    """Check names across sections, the order of the ramp, some weight.

    Raises:
        InputError: with every fault.
    """
    try:
        space = label_space_of(experiment)
    except InputError as error:
        raise InputError(*(f"{path}: {f}" for f in error.faults)) from None
    with Faults() as faults:
        names = [database.name for database in experiment.databases]
        for name in sorted({n for n in names if names.count(n) > 1}):
            faults.add(f"{path}: database '{name}' is declared twice.")
        for database in experiment.databases:
            _check_labels(database, space, path, faults)
        _check_database_names(experiment, names, path, faults)
        if not trained_databases(experiment):
            faults.add(
                f"{path}: 'sampling.weights': expected a weight above 0 for "
                f"at least one of {', '.join(names)}, found 0 for all."
            )
        _check_mirrors(experiment, space, path, faults)
        ramp = experiment.fit.consistency
        if ramp.ramp_start > ramp.ramp_end:
            faults.add(
                f"{path}: 'fit.consistency': expected ramp_start <= ramp_end, "
                f"found {ramp.ramp_start} > {ramp.ramp_end}."
            )


def _check_mirrors(
    experiment: Experiment, space: LabelSpace, path: Path, faults: Faults
) -> None:
    """Refuse to mirror where a left organ would stay left."""
    pairs = unpaired_sides(space)
    users = {
        "augment.mirror_probability": experiment.augment.mirror_probability,
        "predict.mirror": experiment.predict.mirror,
    }
    for field, value in users.items():
        if value and pairs:
            named = [f"'{left}' and '{right}'" for left, right in pairs]
            faults.add(
                f"{path}: '{field}': expected labels with sides to name each "
                f"other by 'mirror', found {value}, and none in "
                f"{join_names(named)}: in a mirrored scan they would be "
                f"exchanged. Add 'mirror' to both of each pair in "
                f"'label_space', or set '{field}' to "
                f"{'false' if value is True else 0}."
            )


def _targets(database: Database) -> Iterator[str]:
    """Yield every label name that a database speaks of."""
    for target in database.values.values():
        yield from [target] if isinstance(target, str) else target
    yield from database.annotated or ()
    for override in database.cases.values():
        yield from override.annotated or ()


def _check_labels(
    database: Database, space: LabelSpace, path: Path, faults: Faults
) -> None:
    for target in dict.fromkeys(_targets(database)):
        if target not in (IGNORE, *space.names):
            faults.add(
                f"{path}: database '{database.name}': label '{target}' is not "
                f"in the label space, expected one of "
                f"{', '.join(space.names[1:])}."
                + did_you_mean(target, space.names)
                + " Correct it."
            )


def _check_database_names(
    experiment: Experiment, names: list[str], path: Path, faults: Faults
) -> None:
    sections: dict[str, list[str]] = {
        "sampling.weights": list(experiment.sampling.weights),
        "sampling.supervision": list(experiment.sampling.supervision),
        "build.splits.validation_cases": list(
            experiment.build.splits.validation_cases
        ),
        "fit.validation.databases": experiment.fit.validation.databases,
    }
    for section, mentioned in sections.items():
        for name in mentioned:
            if name not in names:
                faults.add(
                    f"{path}: '{section}.{name}': no such database, expected "
                    f"one of {', '.join(names)}."
                    + did_you_mean(name, names)
                    + " Correct it."
                )
