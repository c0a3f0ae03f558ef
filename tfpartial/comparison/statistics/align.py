"""Scores of many runs, aligned: the same cases, the same references.

In: system -> seed -> scores. Out: `ScoreCube`, one array per system.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.evaluation.scores import Score

Runs = Mapping[str, Mapping[int, Sequence[Score]]]
Rows = dict[tuple[str, str], Score]
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class ScoreCube:
    """Dice of every system, seed, case and label.

    Attributes:
        dice: system -> (seeds, cases, labels) float64, seeds ascending; NaN:
            not annotated, excluded, or absent from reference and prediction.
        cases: 'database/case', in order of occurrence.
        labels: as asked for.
        missing: system -> (case, seed) pairs without a prediction.
        excluded: ('database/case', label) pairs that became NaN.
        left_out: scored, but not among the labels, such as merged structures.
    """

    dice: Mapping[str, np.ndarray]
    cases: tuple[str, ...]
    labels: tuple[str, ...]
    missing: Mapping[str, int]
    excluded: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


def align_scores(
    systems: Runs,
    labels: Sequence[str],
    exclude: Mapping[str, str | Collection[str]],
) -> ScoreCube:
    """Return the Dice of all runs as arrays.

    Args:
        systems: system -> seed -> scores; a system may lack seeds.
        labels: in the order wanted.
        exclude: 'case' or 'database/case' -> label or labels.

    Raises:
        InputError: no run; runs that differ in their cases, in what these
            annotate, or in the volume of a reference; a label that no case
            annotates; an exclusion that names nothing.
    """
    runs = {
        (system, seed): _rows(f"{system}, seed {seed}", scores)
        for system, by_seed in systems.items()
        for seed, scores in sorted(by_seed.items())
    }
    if not runs:
        raise InputError(
            "systems table: expected at least one evaluated run, found none. "
            "Train and evaluate one first."
        )
    _check_same_cases(runs)
    first = next(iter(runs.values()))
    _check_labels(first, labels)
    cases = tuple(dict.fromkeys(case for case, _ in first))
    excluded = tuple(_excluded(first, exclude))
    dice = {}
    for system, by_seed in systems.items():
        cube = np.full((len(by_seed), len(cases), len(labels)), np.nan)
        for position, seed in enumerate(sorted(by_seed)):
            for (case, label), score in runs[system, seed].items():
                if label in labels and (case, label) not in excluded:
                    at = cases.index(case), labels.index(label)
                    cube[position][at] = score.dice
        dice[system] = cube
    return ScoreCube(
        dice=dice,
        cases=cases,
        labels=tuple(labels),
        missing={name: _missing(by_seed) for name, by_seed in systems.items()},
        excluded=excluded,
        left_out=tuple(_left_out(systems, labels)),
    )


def _rows(where: str, scores: Sequence[Score]) -> Rows:
    """Return (case, label) -> score."""
    rows: Rows = {}
    for score in scores:
        key = f"{score.database}/{score.case}", score.label
        if key in rows:
            raise InputError(
                f"{where}: expected one score per case and label, found two "
                f"for {key[0]}, {key[1]}. Evaluate it again."
            )
        rows[key] = score
    return rows


def _check_same_cases(runs: Mapping[tuple[str, int], Rows]) -> None:
    """Compare every run with the first; raise all differences at once."""
    (_, first), *others = runs.items()
    name = "{}, seed {}".format(*next(iter(runs)))
    remedy = "Evaluate all runs on the same split of the same databases."
    with Faults() as faults:
        for (system, seed), rows in others:
            where = f"{system}, seed {seed}"
            for word, keys in (
                ("no score for", first.keys() - rows.keys()),
                ("a score more for", rows.keys() - first.keys()),
            ):
                if keys:
                    faults.add(
                        f"{where}: expected the cases and labels of {name}, "
                        f"found {word} {_listed(keys)}. {remedy}"
                    )
            other = {
                key
                for key in first.keys() & rows.keys()
                if not math.isclose(
                    first[key].reference_ml, rows[key].reference_ml
                )
            }
            if other:
                faults.add(
                    f"{where}: expected the references of {name}, found "
                    f"another volume of {_listed(other)}. {remedy}"
                )


def _listed(keys: Collection[tuple[str, str]]) -> str:
    """Return some of the keys as text, and how many more there are."""
    shown = [f"{case} {label}" for case, label in sorted(keys)[:EXAMPLES]]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _check_labels(rows: Rows, labels: Sequence[str]) -> None:
    found = dict.fromkeys(label for _, label in rows)
    with Faults() as faults:
        for label in labels:
            if label not in found:
                faults.add(
                    f"systems table, labels: expected labels that a test case "
                    f"annotates ({', '.join(found)}), found {label!r}."
                    f"{did_you_mean(label, found)}"
                )


def _excluded(
    rows: Rows, exclude: Mapping[str, str | Collection[str]]
) -> Iterator[tuple[str, str]]:
    """Yield the (database/case, label) pairs that an exclusion names."""
    for case, named in exclude.items():
        for label in [named] if isinstance(named, str) else named:
            pairs = [
                key
                for key in rows
                if case in (key[0], key[0].split("/", 1)[1]) and key[1] == label
            ]
            if not pairs:
                cases = {key[0].split("/", 1)[1] for key in rows}
                raise InputError(
                    f"systems table, exclude: expected a test case and a "
                    f"label that it annotates, found {case}: {label}."
                    f"{did_you_mean(case, cases)}"
                )
            yield from pairs


def _missing(by_seed: Mapping[int, Sequence[Score]]) -> int:
    return sum(
        len({(s.database, s.case) for s in scores if s.missing})
        for scores in by_seed.values()
    )


def _left_out(systems: Runs, labels: Sequence[str]) -> dict[str, None]:
    """Return the names of what was scored and has no row, in order."""
    return {
        score.label: None
        for by_seed in systems.values()
        for scores in by_seed.values()
        for score in scores
        if score.label not in labels
    }
