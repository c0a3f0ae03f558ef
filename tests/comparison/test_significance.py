"""Statistics: numbers that a reader can redo, scipy, and slow twins."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tfpartial.comparison.statistics.significance import (
    EXACT_UP_TO,
    FEWEST_FOR_5_PERCENT,
    Bootstrap,
    bootstrap_interval,
    compare_pairs,
    correct_by_holm,
    holm,
    paired_differences,
    paired_wilcoxon,
    rank_biserial,
)

NAN = math.nan


def p_of(differences: list[float] | np.ndarray) -> float:
    return paired_wilcoxon(differences, np.zeros(len(differences)))


def slow_p(differences: np.ndarray) -> float:
    """All 2^m choices of signs, one by one."""
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    found = max(ranks[nonzero > 0].sum(), ranks[nonzero < 0].sum())
    sums = [
        sum(itertools.compress(ranks, signs))
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    as_extreme = sum(total >= found - 1e-9 for total in sums)
    return min(1.0, 2 * as_extreme / len(sums))


def slow_holm(p_values: list[float]) -> list[float]:
    """Each p against its own step and all smaller ones, as defined."""
    m = len(p_values)
    order = sorted(range(m), key=lambda k: p_values[k])
    steps = {k: (m - j) * p_values[k] for j, k in enumerate(order)}
    return [
        min(1.0, max(steps[k] for k in order[: order.index(own) + 1]))
        for own in range(m)
    ]


def test_six_patients_all_better() -> None:
    """One choice of signs of 2^6 is as extreme, and its mirror image."""
    assert p_of([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == 2 / 64 == 0.03125


def test_fewer_than_six_cannot_reach_five_percent() -> None:
    for n in range(1, 9):
        reached = p_of(np.arange(1, n + 1)) < 0.05
        assert reached == (n >= FEWEST_FOR_5_PERCENT)


def test_by_hand_with_one_worse() -> None:
    """Ranks 1 .. 6, the smallest negative: W- = 1. Sums of at most 1: {} and
    {1}, so p = 2 * 2 / 64."""
    assert p_of([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == 4 / 64


def test_by_hand_with_ties() -> None:
    """Four equal sizes, one negative: mean rank 2.5 each, W- = 2.5. As
    extreme: no negative or any one: 5 of 16."""
    assert p_of([0.2, 0.2, 0.2, -0.2]) == 2 * 5 / 16


def test_equal_pairs_are_left_out() -> None:
    assert p_of([0, 0.1, 0, 0.2, 0.3, 0.4, 0.5, 0.6]) == 2 / 64


def test_all_equal_is_one_and_none_is_nan() -> None:
    assert paired_wilcoxon([0.5, 0.7], [0.5, 0.7]) == 1
    assert math.isnan(paired_wilcoxon([], []))
    assert math.isnan(paired_wilcoxon([NAN, 0.5], [0.5, NAN]))


def test_differences_equal_on_paper_tie() -> None:
    """.3 - .2 and .8 - .7 differ by 1e-16 in floats; so do .1 + .2 and .3."""
    system, baseline = [0.3, 0.8, 0.1 + 0.2], [0.2, 0.7, 0.3]
    assert system[0] - baseline[0] != system[1] - baseline[1]
    differences = paired_differences(system, baseline)
    assert differences.tolist() == [0.1, 0.1, 0.0]


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_scipy_without_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    differences = random.normal(0.3, 1, 4 + 4 * seed)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert p_of(differences) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_all_signs_with_ties_and_zeros(seed: int) -> None:
    random = np.random.default_rng(seed)
    differences = random.integers(-2, 4, 12).astype(float)
    assert p_of(differences) == pytest.approx(slow_p(differences), rel=1e-10)


def test_exact_meets_the_approximation_at_the_change() -> None:
    random = np.random.default_rng(0)
    differences = random.normal(0.1, 1, EXACT_UP_TO)
    expected = stats.wilcoxon(differences, method="asymptotic").pvalue
    assert p_of(differences) == pytest.approx(expected, rel=0.02)
    assert p_of(differences) != expected
    more = np.append(differences, 2.0)
    expected = stats.wilcoxon(more, method="asymptotic").pvalue
    assert p_of(more) == expected


def test_as_many_better_as_worse_is_one() -> None:
    """Both ends hold the middle: twice their chance would be more than 1."""
    assert p_of([-0.1, 0.1]) == p_of([0.1, -0.1, 0.0]) == 1


def test_direction_does_not_matter() -> None:
    random = np.random.default_rng(0)
    system, baseline = random.random((2, 15))
    assert paired_wilcoxon(system, baseline) == paired_wilcoxon(
        baseline, system
    )


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_wilcoxon([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        compare_pairs([1, math.inf], [1, 2])


def test_holm_by_hand() -> None:
    """.01 * 3, .03 * 2, then .04 * 1 raised to .06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested() -> None:
    corrected = holm([0.01, NAN, 0.03])
    assert corrected[0] == 0.02
    assert math.isnan(corrected[1])
    assert corrected[2] == 0.03


@pytest.mark.parametrize("seed", range(5))
def test_holm_agrees_with_its_slow_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Rounding makes some of them equal.
    p_values = np.round(random.random(20) ** 3, 2).tolist()
    assert holm(p_values) == pytest.approx(slow_holm(p_values))


def test_effect_size_by_hand() -> None:
    """Ranks of .1 .2 .3 .4 are 1 .. 4: W+ = 9, W- = 1."""
    assert rank_biserial([-0.1, 0.2, 0.3, 0.4]) == (9 - 1) / (9 + 1)
    assert rank_biserial([0.1, 0.0, 0.4]) == 1
    assert rank_biserial([-0.1, -0.4]) == -1
    assert rank_biserial([-1.0, 0.0, 2.0, 3.0]) == (5 - 1) / (5 + 1)
    assert rank_biserial([0.0, 0.0]) == 0
    assert math.isnan(rank_biserial([]))


def test_bootstrap_is_deterministic_and_covers_the_mean() -> None:
    differences = np.random.default_rng(0).exponential(1, 16)
    first = bootstrap_interval(differences, 3)
    assert first == bootstrap_interval(differences, 3)
    assert first != bootstrap_interval(differences, 4)
    assert first[0] < differences.mean() < first[1]


def slow_interval(differences: np.ndarray) -> tuple[float, float]:
    """BCa by its definition, with draws of its own."""
    random = np.random.default_rng(1)
    n = len(differences)
    means = random.choice(differences, (40_000, n)).mean(axis=1)
    below = stats.norm.ppf(np.mean(means < differences.mean()))
    # Influence of each patient: the mean without it, from their mean.
    without = (differences.sum() - differences) / (n - 1)
    pull = without.mean() - without
    skew = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        shifted = below + (below + z) / (1 - skew * (below + z))
        ends.append(float(np.quantile(means, stats.norm.cdf(shifted))))
    return ends[0], ends[1]


def test_bootstrap_follows_skew() -> None:
    """BCa, not percentiles: the long tail moves both ends."""
    differences = np.random.default_rng(0).exponential(1, 16)
    expected = slow_interval(differences)
    found = bootstrap_interval(differences, 0, resamples=40_000)
    assert found == pytest.approx(expected, rel=0.01)
    percentiles = stats.bootstrap(
        (differences,), np.mean, method="percentile", rng=0
    ).confidence_interval
    assert percentiles.low < 0.95 * found[0]


def test_bootstrap_widens_with_confidence_and_narrows_with_n() -> None:
    differences = np.random.default_rng(0).normal(0, 1, 16)
    low, high = bootstrap_interval(differences, 0, 0.95)
    wide = bootstrap_interval(differences, 0, 0.99)
    assert wide[0] < low < high < wide[1]
    more = bootstrap_interval(np.tile(differences, 4), 0, 0.95)
    # The standard error of a mean falls with the root of n.
    assert (more[1] - more[0]) == pytest.approx((high - low) / 2, rel=0.2)


def test_bootstrap_holds_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(
            random.normal(0.5, 1, 16), 0, resamples=400
        )
        held += low <= 0.5 <= high
    # 95 % in theory, some less for n = 16; sd of the count is 3.
    assert 178 <= held <= 198


def test_bootstrap_of_degenerate_differences() -> None:
    assert bootstrap_interval([0.2, 0.2, 0.2], 0) == (0.2, 0.2)
    for differences in ([], [0.3]):
        assert all(map(math.isnan, bootstrap_interval(differences, 0)))


@pytest.mark.parametrize(
    "differences",
    [[0.1, 0.2], [-0.1, 0.1], [0.0] * 9 + [0.1], [0.0] * 15 + [-0.5]],
)
@pytest.mark.filterwarnings("error")
def test_bootstrap_of_nearly_degenerate_differences(
    differences: list[float],
) -> None:
    low, high = bootstrap_interval(differences, 0)
    assert min(differences) <= low <= np.mean(differences) <= high
    assert high <= max(differences)


def test_comparison_pairs_out_patients_without_a_value() -> None:
    system = [0.9, NAN, 0.8, 0.7, 0.5]
    baseline = [0.8, 0.1, 0.6, NAN, 0.5]
    found = compare_pairs(system, baseline)
    assert (found.n, found.nonzero) == (3, 2)
    assert found.mean_difference == pytest.approx((0.1 + 0.2 + 0) / 3)
    assert found.p == found.p_holm == 2 * 1 / 4
    assert found.effect_size == 1
    assert found.low <= found.mean_difference <= found.high


def test_comparison_draws_as_it_is_told() -> None:
    system, baseline = np.random.default_rng(0).random((2, 12))
    told = Bootstrap(seed=5, confidence=0.9, resamples=300)
    found = compare_pairs(system, baseline, told)
    differences = paired_differences(system, baseline)
    assert (found.low, found.high) == bootstrap_interval(
        differences, 5, 0.9, 300
    )
    assert compare_pairs(system, baseline) == compare_pairs(system, baseline)


def test_comparison_of_nothing() -> None:
    found = compare_pairs([NAN], [0.5])
    assert (found.n, found.nonzero) == (0, 0)
    assert math.isnan(found.mean_difference)
    assert math.isnan(found.p)


def test_correction_keeps_everything_else() -> None:
    one = compare_pairs(np.arange(1, 7) / 10, np.zeros(6))
    both = correct_by_holm([one, one])
    assert both == [replace(one, p_holm=2 * one.p)] * 2
