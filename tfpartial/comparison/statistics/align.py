"""Scores of many runs, aligned: the same cases, the same references.

In: system -> seed -> scores. Out: `ScoreCube`, one array per system.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.evaluation import Score

Runs = Mapping[str, Mapping[int, Sequence[Score]]]
Place = tuple[str, str]
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
    excluded: tuple[Place, ...]
    left_out: tuple[str, ...]


def align_scores(
    systems: Runs, labels: Sequence[str], exclude: Mapping[str, str]
) -> ScoreCube:
    """Return the Dice of all runs as arrays.

    Args:
        systems: system -> seed -> scores; a system may lack seeds.
        labels: in the order wanted.
        exclude: case id -> label.

    Raises:
        InputError: no run; runs that differ in their cases, in what these
            annotate, or in the volume of a reference; an exclusion that names
            nothing.
    """
    runs = {
        (system, seed): {
            (f"{score.database}/{score.case}", score.label): score
            for score in scores
        }
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
    cases = tuple(dict.fromkeys(case for case, _ in first))
    excluded = tuple(_find_excluded(first, exclude))
    dice = {}
    for system, by_seed in systems.items():
        cube = np.full((len(by_seed), len(cases), len(labels)), np.nan)
        for position, seed in enumerate(sorted(by_seed)):
            for (case, label), score in runs[system, seed].items():
                if label in labels and (case, label) not in excluded:
                    at = cases.index(case), labels.index(label)
                    cube[position][at] = score.dice
        dice[system] = cube
    scored = dict.fromkeys(label for _, label in first)
    return ScoreCube(
        dice=dice,
        cases=cases,
        labels=tuple(labels),
        missing={
            system: sum(_count_missing(scores) for scores in by_seed.values())
            for system, by_seed in systems.items()
        },
        excluded=excluded,
        left_out=tuple(label for label in scored if label not in labels),
    )


def _check_same_cases(
    runs: Mapping[tuple[str, int], Mapping[Place, Score]],
) -> None:
    """Compare every run with the first; raise all differences at once."""
    (_, first), *others = runs.items()
    name = "{}, seed {}".format(*next(iter(runs)))
    remedy = "Evaluate all runs on the same split of the same databases."
    with Faults() as faults:
        for (system, seed), scores in others:
            where = f"{system}, seed {seed}"
            for word, places in (
                ("no score for", first.keys() - scores.keys()),
                ("a score more for", scores.keys() - first.keys()),
            ):
                if places:
                    faults.add(
                        f"{where}: expected the cases and labels of {name}, "
                        f"found {word} {_name_some(places)}. {remedy}"
                    )
            differing = {
                place
                for place in first.keys() & scores.keys()
                if not math.isclose(
                    first[place].reference_ml, scores[place].reference_ml
                )
            }
            if differing:
                faults.add(
                    f"{where}: expected the references of {name}, found "
                    f"another volume of {_name_some(differing)}. {remedy}"
                )


def _name_some(places: Collection[Place]) -> str:
    """Return some of the places as text, and how many more there are."""
    some = [f"{case} {label}" for case, label in sorted(places)[:EXAMPLES]]
    more = len(places) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def _find_excluded(
    places: Collection[Place], exclude: Mapping[str, str]
) -> Iterator[Place]:
    """Yield the (database/case, label) pairs that an exclusion names."""
    for case, label in exclude.items():
        pairs = [
            place
            for place in places
            if place[0].split("/", 1)[1] == case and place[1] == label
        ]
        if not pairs:
            cases = {name.split("/", 1)[1] for name, _ in places}
            raise InputError(
                f"systems table, exclude: expected a test case and a label "
                f"that it annotates, found {case}: {label}."
                f"{did_you_mean(case, cases)}"
            )
        yield from pairs


def _count_missing(scores: Sequence[Score]) -> int:
    """Return the number of cases without a prediction."""
    return len({(s.database, s.case) for s in scores if s.missing})
