"""Exact tests agree with SciPy's and with counting, and hold their level where values are few, tied or censored."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from runner.analysis.exact import ONE_SIDED, fewest, rank_sum, smallest, superiority


@pytest.mark.parametrize(("n", "m"), [(1, 3), (4, 4), (5, 8), (20, 30)])
def test_without_ties_the_p_values_are_scipys(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    for shift in (0.0, 0.5, 2.0):
        a, b = random.normal(0, 1, n), random.normal(shift, 1, m)
        expected = [stats.mannwhitneyu(a, b, alternative=side, method="exact").pvalue for side in ("less", "greater")]
        assert rank_sum(list(a), list(b)) == pytest.approx(expected, rel=1e-9)


def test_with_ties_and_values_that_were_not_reached_they_are_the_share_of_all_deals() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        values = random.choice([0.3, 0.4, 0.5, math.inf], 9)
        ranks = stats.rankdata(values)
        sums = np.array([ranks[list(chosen)].sum() for chosen in combinations(range(9), 4)])
        found = ranks[:4].sum()
        expected = (np.mean(sums <= found), np.mean(sums >= found))
        assert rank_sum(list(values[:4]), list(values[4:])) == pytest.approx(expected)


def test_the_level_holds_where_both_are_alike() -> None:
    random = np.random.default_rng(1)
    p = [rank_sum(*random.choice([0.3, 0.4, math.inf], (2, 6), p=[0.5, 0.3, 0.2]).tolist()) for _ in range(2000)]
    assert np.mean([less <= 0.025 for less, _ in p]) <= 0.025 + 0.008
    assert np.mean([more <= 0.025 for _, more in p]) <= 0.025 + 0.008


def test_a_few_values_have_a_smallest_p_value() -> None:
    assert rank_sum([1, 2, 3], [4, 5, 6])[0] == pytest.approx(smallest(3, 3)) == pytest.approx(0.05)
    assert smallest(5, 5) == pytest.approx(1 / 252)
    # Of six differences with one sign the sign-flip test has 1/64, of five 1/32.
    assert fewest() == 6
    flips = stats.permutation_test(
        (np.arange(1.0, 7),), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert flips.pvalue == pytest.approx(2.0 ** -fewest())
    assert 2.0 ** -fewest() <= ONE_SIDED < 2.0 ** -(fewest() - 1)


def test_the_share_of_pairs_is_mann_whitneys_and_its_interval_covers() -> None:
    random = np.random.default_rng(2)
    a, b = random.normal(0, 1, 7), random.normal(1, 1, 9)
    share, low, high = superiority(list(a), list(b))
    assert share == pytest.approx(1 - stats.mannwhitneyu(a, b).statistic / 63)
    assert low < share < high
    assert superiority([1, 1], [math.inf, math.inf])[0] == 1
    assert superiority([math.inf], [math.inf])[0] == 0.5
    # Of two normal samples a standard deviation apart the share is Phi(1 / sqrt(2)).
    truth = stats.norm.cdf(1 / math.sqrt(2))
    covered = 0
    for _ in range(500):
        _, low, high = superiority(list(random.normal(0, 1, 8)), list(random.normal(1, 1, 8)))
        covered += low <= truth <= high
    assert 0.92 <= covered / 500 <= 0.985
