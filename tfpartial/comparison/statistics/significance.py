"""Whether two systems differ: a paired test, its size and its uncertainty.

In: one value per patient of a system and of a baseline, aligned.
Out: `PairedComparison`: n, difference, p, effect size, interval; corrected by
Holm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

# Up to here p is exact; the normal approximation is good long before.
EXACT_UP_TO = 200
# Differences that are equal on paper differ by 1e-17 in floats; they must
# tie, and 0 must be 0.
DECIMALS = 12
# 2 / 2**5 = .0625: with fewer non-zero differences no p is below .05.
FEWEST_FOR_5_PERCENT = 6


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: arguments of `bootstrap_interval`."""

    seed: int = 0
    confidence: float = 0.95
    resamples: int = 10_000


@dataclass(frozen=True)
class PairedComparison:
    """A system against a baseline over patients.

    Attributes:
        n: patients with a value in both.
        nonzero: those whose two values differ; the test rests on these. p
            cannot be below .05 unless there are 6.
        mean_difference: mean over n of system - baseline; NaN if n is 0.
        p: of `paired_wilcoxon`; NaN if n is 0.
        p_holm: corrected over the comparisons reported together (`holm`); p
            itself until then.
        effect_size: of `rank_biserial`, in [-1, 1].
        low: lower end of `bootstrap_interval`; NaN if n < 2.
        high: upper end.
    """

    n: int
    nonzero: int
    mean_difference: float
    p: float
    p_holm: float
    effect_size: float
    low: float
    high: float


def compare_pairs(
    system: np.ndarray | Sequence[float],
    baseline: np.ndarray | Sequence[float],
    bootstrap: Bootstrap | None = None,
) -> PairedComparison:
    """Return every number of one comparison; p_holm is p as yet.

    Args:
        system: (N,) one value per patient; NaN: none.
        baseline: (N,) the same patients in the same order.
        bootstrap: of the interval; default: `Bootstrap()`.

    Raises:
        ValueError: the shapes differ, or a value is infinite.
    """
    differences = paired_differences(system, baseline)
    drawn = bootstrap or Bootstrap()
    low, high = bootstrap_interval(
        differences, drawn.seed, drawn.confidence, drawn.resamples
    )
    p = _signed_rank_p(differences)
    n = len(differences)
    return PairedComparison(
        n=n,
        nonzero=int(np.count_nonzero(differences)),
        mean_difference=math.fsum(differences) / n if n else math.nan,
        p=p,
        p_holm=p,
        effect_size=rank_biserial(differences),
        low=low,
        high=high,
    )


def paired_differences(
    system: np.ndarray | Sequence[float],
    baseline: np.ndarray | Sequence[float],
) -> np.ndarray:
    """Return (n,) float64 system - baseline where neither is NaN.

    Raises:
        ValueError: the shapes differ, or a value is infinite.
    """
    first, second = (np.asarray(v, np.float64) for v in (system, baseline))
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"paired values: expected two lists of one length, received "
            f"shapes {first.shape} and {second.shape}."
        )
    if np.isinf(first).any() or np.isinf(second).any():
        raise ValueError("paired values: expected finite ones or NaN.")
    differences = first - second
    return np.round(differences[~np.isnan(differences)], DECIMALS)


def paired_wilcoxon(
    system: np.ndarray | Sequence[float],
    baseline: np.ndarray | Sequence[float],
) -> float:
    """Return the two-sided p of the Wilcoxon signed-rank test.

    Null hypothesis: each patient's difference is as likely with its sign as
    with the other one.

    Formula (ranks of the non-zero |differences|, ties share their mean rank):
        W+ = sum of the ranks of positive differences, W- of negative ones
        p = min(1, 2 P(W+ >= max(W+, W-))) over all 2^m choices of signs

    Equal pairs are left out (Wilcoxon's own rule): two systems that both miss
    a structure say nothing about which is better. p is exact up to 200
    non-zero differences, with ties too; beyond, it is scipy's normal
    approximation.

    Args:
        system: (N,) one value per patient; NaN: none.
        baseline: (N,) the same patients in the same order.

    Returns:
        In (0, 1]; 1 if all pairs are equal; NaN without any pair. With m
        non-zero differences it is at least 2 / 2^m: below .05 from m = 6 on.

    Raises:
        ValueError: the shapes differ, or a value is infinite.

    Example:
        six patients, all better: 2 / 2^6 = .03125

    Source: F. Wilcoxon, 1945. Differs from scipy.stats.wilcoxon in: exact
    with ties.
    """
    return _signed_rank_p(paired_differences(system, baseline))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for being m tests at once, in their order.

    Whoever calls a difference real where the corrected p is below .05 calls
    any at all wrongly in at most 5 % of tables, however the tests depend on
    one another.

    Formula (p_(1) <= ... <= p_(m)):
        p_holm(k) = min(1, max over j <= k of (m - j + 1) p_(j))

    Args:
        p_values: NaN is no test: it stays NaN and does not count in m.

    Example:
        .01, .04, .03 -> .03, .06, .06

    Source: S. Holm, 1979. Differs from it in: nothing.
    """
    tests = [k for k, p in enumerate(p_values) if not math.isnan(p)]
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for done, k in enumerate(sorted(tests, key=lambda k: p_values[k])):
        largest = max(largest, (len(tests) - done) * p_values[k])
        corrected[k] = min(1.0, largest)
    return corrected


def correct_by_holm(
    comparisons: Sequence[PairedComparison],
) -> list[PairedComparison]:
    """Return comparisons that are reported together, with their p_holm."""
    corrected = holm([comparison.p for comparison in comparisons])
    return [
        replace(comparison, p_holm=p)
        for comparison, p in zip(comparisons, corrected, strict=True)
    ]


def rank_biserial(differences: np.ndarray | Sequence[float]) -> float:
    """Return the matched-pairs rank-biserial correlation.

    Formula:
        r = (W+ - W-) / (W+ + W-)

    Args:
        differences: (n,) without NaN.

    Returns:
        1 if every patient that changes is better, -1 if worse, 0 if all are
        equal; NaN for none.

    Source: D. Kerby, 2014. Differs from it in: nothing.
    """
    differences = np.asarray(differences, np.float64)
    if not len(differences):
        return math.nan
    positive, negative = _rank_sums(differences[differences != 0])
    total = positive + negative
    return (positive - negative) / total if total else 0.0


def bootstrap_interval(
    differences: np.ndarray | Sequence[float],
    seed: int,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Return an interval of the mean difference; patients are resampled.

    Bias-corrected and accelerated: with some ten patients and skewed
    differences a percentile interval is too narrow and off centre.

    Args:
        differences: (n,) one per patient, without NaN.
        seed: the same seed draws the same patients.
        confidence: in (0, 1).
        resamples: how many sets of n patients are drawn.

    Returns:
        (low, high); both NaN for n < 2, where one patient says nothing about
        others; both the common value where all are equal.

    Source: B. Efron, 1987, as in scipy.stats.bootstrap.
    """
    differences = np.asarray(differences, np.float64)
    if len(differences) < 2:
        return math.nan, math.nan
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _rank_sums(nonzero: np.ndarray) -> tuple[float, float]:
    """Return W+ and W- of (m,) differences without zeros."""
    ranks = stats.rankdata(np.abs(nonzero))
    return float(ranks[nonzero > 0].sum()), float(ranks[nonzero < 0].sum())


def _signed_rank_p(differences: np.ndarray) -> float:
    nonzero = differences[differences != 0]
    if not len(differences):
        return math.nan
    if not len(nonzero):
        return 1.0
    if len(nonzero) > EXACT_UP_TO:
        return float(stats.wilcoxon(nonzero, method="asymptotic").pvalue)
    # Mean ranks are halves: doubled, they are whole.
    doubled = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(int)
    largest = int(round(2 * max(_rank_sums(nonzero))))
    return min(1.0, 2 * float(_sum_distribution(doubled)[largest:].sum()))


def _sum_distribution(values: np.ndarray) -> np.ndarray:
    """Return (sum + 1,) probabilities: each value counts by a coin's toss."""
    chances = np.zeros(int(values.sum()) + 1)
    chances[0] = 1.0
    for value in values:
        chances[value:] += chances[:-value].copy()
        chances /= 2
    return chances
