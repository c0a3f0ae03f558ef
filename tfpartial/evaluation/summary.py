"""Means of scores, each with its n: case -> label -> mean over labels.

In: `Score` rows. Out: one `Summary` per database, and one over all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfpartial.evaluation.scores import Score
from tfpartial.metrics.groups import JOINER


@dataclass(frozen=True)
class LabelSummary:
    """One label (or group) over the cases that annotate it.

    Attributes:
        label: its name.
        grouped: scored as a group.
        cases: how many annotate it.
        n: how many are counted in `dice` and `nsd` (cases without the label
            in reference and prediction are not).
        dice: mean over n; NaN if n is 0.
        dice_sd: sample standard deviation; NaN if n < 2.
        nsd: mean over n.
        hd95_mm: mean over the hd95_n finite values.
        hd95_n: how many are finite.
        hd95_infinite: how many are not: one of the two surfaces is missing.
        reference_ml: mean volume over `cases`.
        prediction_ml: mean volume over `cases`.
        absent: cases known not to contain it (annotated, no voxel).
        false_positives: those of `absent` in which it was predicted.
        false_positive_ml: mean predicted volume over `false_positives`.
        missing: cases without a prediction, counted as 0.
    """

    label: str
    grouped: bool
    cases: int
    n: int
    dice: float
    dice_sd: float
    nsd: float
    hd95_mm: float
    hd95_n: int
    hd95_infinite: int
    reference_ml: float
    prediction_ml: float
    absent: int
    false_positives: int
    false_positive_ml: float
    missing: int


@dataclass(frozen=True)
class Summary:
    """Every label of some cases, and the mean over labels.

    Attributes:
        labels: one entry per label, in order of first occurrence.
        cases: number of cases.
        n: number of labels in `dice` and `nsd`: those with n > 0.
        dice: mean over labels of the label means.
        nsd: mean over labels of the label means.
        hd95_mm: mean over labels of the label means over finite values.
        hd95_n: number of labels with a finite value.
    """

    labels: tuple[LabelSummary, ...]
    cases: int
    n: int
    dice: float
    nsd: float
    hd95_mm: float
    hd95_n: int

    def label(self, name: str) -> LabelSummary | None:
        """Return the entry of a label, or None if no case annotates it."""
        return next((s for s in self.labels if s.label == name), None)


def summarise(scores: Iterable[Score], declared: Sequence[str] = ()) -> Summary:
    """Return the means of scores: per label over cases, then over labels.

    A declared label without a row, alone or in a group, follows with n = 0.

    Formula:
        mean over labels l of (mean over the counted cases of l)

    Averaging labels, not rows, keeps a label that few cases annotate as
    heavy as one that all do.
    """
    by_label: dict[str, list[Score]] = {}
    cases = set()
    for score in scores:
        by_label.setdefault(score.label, []).append(score)
        cases.add((score.database, score.case))
    covered = {name for label in by_label for name in label.split(JOINER)}
    labels = (
        *(_summarise_label(label, rows) for label, rows in by_label.items()),
        *(_summarise_label(n, []) for n in declared if n not in covered),
    )
    dice, n = finite_mean(s.dice for s in labels)
    nsd, _ = finite_mean(s.nsd for s in labels)
    hd95, hd95_n = finite_mean(s.hd95_mm for s in labels)
    return Summary(labels, len(cases), n, dice, nsd, hd95, hd95_n)


def finite_mean(values: Iterable[float]) -> tuple[float, int]:
    """Return the mean of the finite values and their number; NaN, 0 if none.

    The number belongs to the mean: who prints one prints the other.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return float("nan"), 0
    return math.fsum(finite) / len(finite), len(finite)


def _summarise_label(label: str, rows: Sequence[Score]) -> LabelSummary:
    def mean(value: Callable[[Score], float]) -> tuple[float, int]:
        return finite_mean(value(row) for row in rows)

    dice, n = mean(lambda row: row.dice)
    hd95, hd95_n = mean(lambda row: row.hd95_mm)
    wrong = [row for row in rows if row.false_positive]
    return LabelSummary(
        label=label,
        grouped=any(row.grouped for row in rows),
        cases=len(rows),
        n=n,
        dice=dice,
        dice_sd=_deviation([r.dice for r in rows if math.isfinite(r.dice)]),
        nsd=mean(lambda row: row.nsd)[0],
        hd95_mm=hd95,
        hd95_n=hd95_n,
        hd95_infinite=sum(math.isinf(row.hd95_mm) for row in rows),
        reference_ml=mean(lambda row: row.reference_ml)[0],
        prediction_ml=mean(lambda row: row.prediction_ml)[0],
        absent=sum(row.reference_ml == 0 for row in rows),
        false_positives=len(wrong),
        false_positive_ml=finite_mean(row.prediction_ml for row in wrong)[0],
        missing=sum(row.missing for row in rows),
    )


def _deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1); NaN below two values."""
    if len(values) < 2:
        return float("nan")
    centre = math.fsum(values) / len(values)
    squares = math.fsum((value - centre) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1))
