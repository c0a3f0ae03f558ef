"""A comparison's YAML -> `Comparison` and the experiment that it shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import system_experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.config.experiment import Experiment
from tfpartial.config.load import (
    apply_override,
    load_experiment,
    read_mapping,
)
from tfpartial.config.shipped import find_config
from tfpartial.config.validate import validate
from tfpartial.errors import Faults, InputError, did_you_mean

EXPERIMENT = "experiment."


def load_comparison(
    path: str | Path,
    overrides: Sequence[str] = (),
    trust_code: bool = False,
) -> tuple[Comparison, Experiment]:
    """Read a comparison and its experiment, and check names across them.

    Args:
        path: the comparison, or the name of a shipped one ("paper/phantom");
            paths inside it are relative to it, except `output_dir`.
        overrides: `field=value` of the comparison; `experiment.field=value`
            of its experiment.
        trust_code: whether a network from outside this package may be
            imported.

    Raises:
        InputError: with every fault found.
    """
    path = find_config(path, "systems")
    raw = read_mapping(path)
    faults = Faults()
    files = _expand(raw, path, faults)
    for override in overrides:
        if not override.startswith(EXPERIMENT):
            apply_override(raw, override, faults)
    faults.raise_if_any()
    comparison = validate(Comparison, raw, path, files=files)
    experiment = load_experiment(
        comparison.experiment,
        [
            *comparison.overrides,
            *(
                override.removeprefix(EXPERIMENT)
                for override in overrides
                if override.startswith(EXPERIMENT)
            ),
        ],
        trust_code=trust_code,
    )
    _check_names(comparison, experiment, path)
    _check_systems(comparison, experiment, path)
    return comparison, experiment


def _expand(
    raw: dict[str, Any], path: Path, faults: Faults
) -> dict[tuple[str | int, ...], Path]:
    """Anchor the experiment's path; replace paths of systems by contents.

    Returns:
        ("systems", position) -> the file that it was read from.
    """
    files: dict[tuple[str | int, ...], Path] = {}
    experiment = raw.get("experiment")
    if isinstance(experiment, str) and "\0" not in experiment:
        raw["experiment"] = str((path.parent / experiment).resolve())
    systems = raw.get("systems")
    if not isinstance(systems, list):
        return files  # pydantic says what is expected
    for position, entry in enumerate(systems):
        if isinstance(entry, str):
            file = files["systems", position] = path.parent / entry
            with faults.collect():
                systems[position] = read_mapping(file)
    return files


def _check_names(
    comparison: Comparison, experiment: Experiment, path: Path
) -> None:
    """Check that what is named exists, once, and can be done in order."""
    systems = [system.name for system in comparison.systems]
    databases = [database.name for database in experiment.databases]
    labels = label_space_of(experiment).names[1:]
    columns = {
        f"tables.{name}": chosen for name, chosen in comparison.tables.items()
    }
    sources = [s.pseudo_labels_of for s in comparison.systems]
    used = [*comparison.full, *comparison.partial]
    with Faults() as faults:
        for field, kind, names, known in (
            ("baseline", "system", [comparison.baseline], systems),
            *((field, "system", names, systems)
              for field, names in columns.items()),
            ("pseudo_labels_of", "system", filter(None, sources), systems),
            ("full", "database", comparison.full, databases),
            ("partial", "database", comparison.partial, databases),
            ("database", "database", [comparison.database], used),
            ("exclude", "label", comparison.exclude.values(), labels),
        ):  # fmt: skip
            _check_known(f"{path}: '{field}'", kind, names, known, faults)
        for name in sorted({n for n in systems if systems.count(n) > 1}):
            faults.add(f"{path}: system '{name}' is declared twice.")
        for name in sorted({n for n in used if used.count(n) > 1}):
            faults.add(
                f"{path}: database '{name}' is named twice in full and partial."
            )
        for system in comparison.systems:
            source = system.pseudo_labels_of
            if source in systems and comparison.system(source).pseudo_labels_of:
                faults.add(
                    f"{path}: '{system.name}' takes pseudo-labels of "
                    f"'{source}', which needs pseudo-labels itself."
                )
        _check_full(comparison, experiment, path, faults)


def _check_systems(
    comparison: Comparison, experiment: Experiment, path: Path
) -> None:
    """Check what each system makes of the experiment, before hours of work."""
    rates = comparison.dropout.all_but_first_two
    with Faults() as faults:
        if "dropout" not in experiment.network.sizes:
            faults.add(
                f"{path}: systems differ in the dropout of their network: "
                f"expected a builder with the argument 'dropout', found "
                f"'{experiment.network.name}', which has none. Add it."
            )
        for system in comparison.systems:
            where = f"{path}: system '{system.name}'"
            try:
                network = system_experiment(
                    comparison, experiment, system, comparison.seeds[0]
                ).network
            except InputError as error:
                for fault in error.faults:
                    faults.add(f"{where}: {fault}")
                continue
            stages = network.hidden_stages  # a foreign builder may not tell
            mine = network.sizes.get("dropout") == rates
            if mine and stages is not None and len(rates) != stages - 2:
                faults.add(
                    f"{where}: 'dropout.all_but_first_two': expected "
                    f"{stages - 2} rates, one for each hidden stage of "
                    f"'{network.name}' but the first two, found {len(rates)}."
                )


def _check_full(
    comparison: Comparison, experiment: Experiment, path: Path, faults: Faults
) -> None:
    """Check that the fully annotated databases annotate every label."""
    every = {entry.name for entry in experiment.label_space}
    for database in experiment.databases:
        if database.name not in comparison.full:
            continue
        named: set[str] = set(database.annotated or ())
        for target in database.values.values():
            named |= {target} if isinstance(target, str) else set(target)
        missing = sorted(every - named)
        if missing:
            faults.add(
                f"{path}: 'full': database '{database.name}' does not annotate "
                f"{', '.join(missing)}; it belongs to 'partial'."
            )


def _check_known(
    where: str,
    kind: str,
    names: Iterable[str],
    known: Sequence[str],
    faults: Faults,
) -> None:
    for name in names:
        if name not in known:
            faults.add(
                f"{where}: {kind} '{name}' is not declared "
                f"({', '.join(known)})." + did_you_mean(name, known)
            )
