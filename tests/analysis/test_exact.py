"""Sign tests agree with SciPy's, hold their level, and the one that allows looks holds it whenever it is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from runner.analysis.exact import fewest, sign_e_value, sign_interval, sign_sequence, sign_test

COUNTS = [(0, 0), (1, 0), (0, 5), (6, 0), (5, 3), (17, 4)]


@pytest.mark.parametrize(("less", "more"), COUNTS)
def test_p_values_are_scipys(less: int, more: int) -> None:
    if less + more == 0:
        assert sign_test(0, 0) == (1.0, 1.0)
        return
    expected = [stats.binomtest(less, less + more, alternative=side).pvalue for side in ("greater", "less")]
    assert sign_test(less, more) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("less", "more"), COUNTS[1:])
def test_the_interval_is_scipys(less: int, more: int) -> None:
    for alpha in (0.05, 0.001):
        expected = stats.binomtest(less, less + more).proportion_ci(1 - alpha, method="exact")
        assert sign_interval(less, more, alpha) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_few_pairs_have_a_smallest_p_value() -> None:
    for alpha, least in ((0.05, 6), (0.01, 8)):
        assert fewest(alpha) == least
        assert sign_test(least, 0)[0] <= alpha / 2 < sign_test(least - 1, 0)[0]


@pytest.mark.parametrize(("less", "more"), COUNTS)
@pytest.mark.parametrize("chance", [0.3, 0.5, 0.8])
def test_the_e_value_is_the_mean_likelihood_ratio(less: int, more: int, chance: float) -> None:
    def ratio(p: float) -> float:
        return float((p / chance) ** less * ((1 - p) / (1 - chance)) ** more / (1 - chance))

    assert sign_e_value(less, more, chance) == pytest.approx(integrate.quad(ratio, chance, 1)[0], rel=1e-6)


def test_looked_at_after_every_pair_it_is_seldom_wrong_and_the_interval_holds_the_truth() -> None:
    """The test for a number fixed beforehand is wrong far more often where it is repeated."""
    random = np.random.default_rng(0)
    studies, pairs = 1000, 40
    less = (random.random((studies, pairs)) < 0.5).cumsum(axis=1)
    looks = np.arange(1, pairs + 1)
    e = np.array([[sign_e_value(k, n - k) for k in range(n + 1)] + [0.0] * (pairs - n) for n in looks])
    p = np.array([[sign_test(k, n - k)[0] for k in range(n + 1)] + [1.0] * (pairs - n) for n in looks])
    assert (e[looks - 1, less] >= 40).any(axis=1).mean() <= 0.025 + 0.01
    assert (p[looks - 1, less] <= 0.025).any(axis=1).mean() > 0.05
    for n in (8, 40):
        for k in range(n + 1):
            low, high = sign_sequence(k, n - k, 0.05)
            inside = sign_e_value(k, n - k) < 40 and sign_e_value(n - k, k) < 40
            assert (low <= 0.5 <= high) == inside
            assert low <= k / n <= high
