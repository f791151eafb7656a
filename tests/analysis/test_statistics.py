"""Claims about the numbers: against scipy.stats, published values and simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runner.analysis.statistics import detectable, estimate, needed, paired, t_critical, t_quantile, wilson


def test_interval_is_students_t() -> None:
    values = [2.1, 1.9, 2.6, 2.2, 2.0]
    found = estimate(values)
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 4) * stats.sem(values))
    assert found.n == 5


def test_paired_difference_is_that_of_ttest_rel() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(2, 0.3, 6), rng.normal(2.4, 0.3, 6)
    found = paired(dict(enumerate(a)), dict(enumerate(b)))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high), abs=1e-8)


def test_unpaired_seeds_are_dropped_and_named() -> None:
    found = paired({0: 1.0, 1: 2.0, 5: 9.0}, {0: 1.5, 1: 2.25, 6: 0.0})
    assert found.seeds == (0, 1)
    assert found.dropped == (5, 6)
    assert found.difference.mean == pytest.approx(-0.375)
    assert found.difference.n == 2


def test_seeds_are_told_in_their_order_whatever_the_order_of_the_runs() -> None:
    mine, other = [1001, 64, 7, 1000, 3, 33], [1000, 7, 1001, 2048, 64, 129]
    found = paired(dict.fromkeys(mine, 1.0), dict.fromkeys(other, 2.0))
    assert found.seeds == (7, 64, 1000, 1001)
    assert found.dropped == (3, 33, 129, 2048)


@given(st.integers(2, 60_000), st.integers(-50, 50), st.lists(st.integers(50, 1000), min_size=2, max_size=5))
def test_errors_that_differ_by_as_many_examples_for_every_seed_have_no_spread(
    n: int, more: int, wrong: list[int]
) -> None:
    a = {seed: float(Fraction(100 * (count + more), n)) for seed, count in enumerate(wrong)}
    b = {seed: float(Fraction(100 * count, n)) for seed, count in enumerate(wrong)}
    found = paired(a, b).difference
    assert found.std == 0.0
    assert found.mean == found.low == found.high == pytest.approx(100 * more / n, abs=1e-9)


def test_one_number_gives_no_interval_and_none_no_mean() -> None:
    one, none = estimate([2.0]), estimate([])
    assert (one.mean, one.n) == (2.0, 1)
    assert all(math.isnan(x) for x in (one.std, one.low, one.high, one.half, none.mean))
    assert paired({0: 1.0}, {1: 1.0}).difference.n == 0


def test_equal_numbers_have_no_spread() -> None:
    assert estimate([0.1] * 3).std == 0.0


@given(st.floats(-100, 100), st.floats(1e-3, 100))
def test_only_equal_numbers_have_no_spread(value: float, apart: float) -> None:
    assert estimate([value, value]).std == 0.0
    assert estimate([value, value + apart]).std == pytest.approx(np.std([value, value + apart], ddof=1))


@pytest.mark.parametrize("other", [[], [1.0], [1.0, 2.0], [math.inf], [-math.inf]])
@pytest.mark.parametrize("none", [math.nan, math.inf, -math.inf])
def test_a_run_without_a_number_makes_everything_unknown_rather_than_better(
    none: float, other: Sequence[float]
) -> None:
    for values in ([none, *other], [*other, none]):
        found = estimate(values)
        assert np.isnan([found.mean, found.std, found.low, found.high, found.half]).all()
        assert found.n == len(values)


@pytest.mark.parametrize(("errors", "n"), [(18, 898), (0, 898), (898, 898), (1, 10), (1, 1)])
def test_sampling_interval_is_wilsons(errors: int, n: int) -> None:
    expected = stats.binomtest(errors, n).proportion_ci(0.95, method="wilson")
    assert wilson(100 * errors / n, n) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_a_sampling_interval_is_within_0_and_100_percent(percent: float) -> None:
    """The formula alone leaves them by rounding for some n, and a printed "-0.00" or "100.00000000000001" with it."""
    found = np.array([wilson(percent, n) for n in range(1, 3000)])
    assert found.min() >= 0
    assert found.max() <= 100


def test_no_test_size_gives_no_sampling_interval() -> None:
    assert all(math.isnan(x) for x in (*wilson(2.0, 0), *wilson(math.nan, 10), *wilson(100.5, 10), *wilson(-0.5, 10)))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_the_detectable_difference_is_found_with_80_percent_power(n: int) -> None:
    delta = detectable(0.3, n)
    critical = stats.t.ppf(0.975, n - 1)
    assert stats.nct.sf(critical, n - 1, delta / 0.3 * math.sqrt(n)) == pytest.approx(0.8, abs=1e-5)


def test_nothing_is_detectable_with_one_run() -> None:
    assert math.isnan(detectable(0.3, 0))
    assert math.isnan(detectable(0.3, 1))
    assert math.isnan(detectable(math.nan, 5))
    assert math.isnan(detectable(math.inf, 5))


def test_all_numbers_are_pythons_own_whose_text_is_the_same_with_every_numpy() -> None:
    found = [estimate(np.array([1.0, 2.0])), estimate([1.0]), paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.0}).difference]
    numbers = [x for one in found for x in (one.mean, one.std, one.low, one.high, one.half)]
    numbers += [*wilson(2.0, 100), detectable(0.3, 5), t_quantile(0.975, 4)]
    assert {type(x) for x in numbers} == {float}


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_pairs_that_a_difference_needs_are_those_of_statsmodels(effect: float, alpha: float) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    wanted = power.TTestPower().solve_power(effect_size=effect, alpha=alpha, power=0.8)
    found = needed(2.0, 2.0 * effect, lambda n: t_critical(n, alpha))
    assert found == math.ceil(wanted)


def test_no_number_of_pairs_finds_no_difference_or_one_without_noise_to_compare_it_with() -> None:
    assert needed(1.0, 0.0) is needed(0.0, 1.0) is needed(math.nan, 1.0) is needed(1.0, 1e-9) is None
    assert needed(1.0, 100.0) == 2
