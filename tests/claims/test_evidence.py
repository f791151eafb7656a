"""Claims about evidence at its limits: no spread, no bound, a p-value that is just 2.5 %; against SciPy where possible.

What the tests say of ordinary numbers is in `test_claim`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.claims.claim import ALPHA, Claim, decided, holm
from runner.claims.evidence import (
    Evidence,
    above,
    apart,
    below,
    everywhere,
    from_bootstrap,
    from_sign,
    from_signs,
    jointly,
    within,
)
from runner.report.claims_table import tables
from tests.analysis.test_select import frame
from tests.report.studies import search

NOTHING = Evidence(0.0, -1.0, 1.0, 5, 0.5, 0.5)


def claim(null: float, other: float, why: str = "") -> Claim:
    return Claim("best-cell", "made up", "", replace(NOTHING, against_null=null, against_claim=other), (), why)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_p_values_are_those_of_students_tests_for_any_number_of_runs(n: int) -> None:
    rng = np.random.default_rng(n)
    for values in rng.normal(0.1, 0.3, (20, n)):
        less, greater = (stats.ttest_1samp(values, 0.0, alternative=side).pvalue for side in ("less", "greater"))
        low, high = below(values), above(values)
        assert low is not None
        assert high is not None
        assert (low.against_null, low.against_claim) == pytest.approx((less, greater))
        assert (high.against_null, high.against_claim) == pytest.approx((greater, less))
        two = apart(values, 0.2)
        assert two is not None
        assert two.against_null == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
        near = within(values, 0.2)
        inner = stats.ttest_1samp(values, 0.2, alternative="less").pvalue
        outer = stats.ttest_1samp(values, -0.2, alternative="greater").pvalue
        assert near is not None
        assert (near.against_null, two.against_claim) == pytest.approx((max(inner, outer),) * 2)
        assert near.against_claim == pytest.approx(min(1 - inner, 1 - outer))


def test_equal_numbers_decide_nothing_as_they_do_not_say_how_they_would_vary() -> None:
    for value in (-1.0, 0.0, 1.0, -0.001):
        for test in (below, above):
            found = test([value] * 3)
            assert found is not None
            assert (found.against_null, found.against_claim) == (0.5, 0.5)
            (one,) = decided([replace(claim(0.5, 0.5), evidence=found)])
            assert one.verdict == "undecided"
            assert "the same" in one.why
    for values in ([math.inf, 1.0], [math.nan, math.nan], [1.0], []):
        assert below(values) is None


@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.4), (-math.inf, 0.4), (-1.0, math.inf), (-math.inf, math.inf)])
def test_a_bootstrap_has_normal_p_values_and_no_bound_is_one_that_nothing_crosses(low: float, high: float) -> None:
    drawn = np.random.default_rng(0).normal(0, 0.5, 30)
    spread = np.std(drawn, ddof=1)
    for value in (-1.3, -0.2, 0.3, 0.9):
        found = from_bootstrap(value, drawn, 7, low, high)
        is_low, is_high = stats.norm.cdf(low, value, spread), stats.norm.sf(high, value, spread)
        assert found.against_null == pytest.approx(max(is_low, is_high))
        assert found.against_claim == pytest.approx(min(1 - is_low, 1 - is_high))
        assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, value, spread))
        assert (found.value, found.n) == (value, 7)


def test_a_bootstrap_without_spread_decides_nothing() -> None:
    for value in (0.0, 0.5, 0.7, -0.7):
        found = from_bootstrap(value, np.ones(5), 5, -0.5, 0.5)
        assert (found.against_null, found.against_claim) == (0.5, 0.5)
        assert found.low == found.high == value


def test_no_corrected_p_value_is_above_1_and_small_ones_stay_small() -> None:
    assert holm([0.9, 0.8, 0.7]) == [1.0] * 3
    assert holm([1e-9]) == [1e-9]
    same = jointly(*[NOTHING] * 3)
    assert (same.against_null, same.against_claim) == (0.5, 1.0)
    some = [replace(NOTHING, against_null=null, against_claim=p) for null, p in ((0.3, 0.2), (0.1, 0.01), (0.2, 0.3))]
    all_of = jointly(*some)
    assert (all_of.against_null, all_of.against_claim) == (0.3, pytest.approx(0.03))  # Bonferroni's
    both_ways = everywhere(*some)
    assert (both_ways.against_null, both_ways.against_claim) == (0.3, 0.3)


def test_holms_correction_is_the_smallest_level_at_which_his_steps_reject() -> None:
    """By going down the steps: the smallest of m is held against level / m, the next against level / (m - 1)."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 5):
        p = rng.uniform(0, 0.3, m)
        adjusted = holm(list(p))
        for level in rng.uniform(0, 1, 50):
            rejected = set()
            for step, i in enumerate(np.argsort(p)):
                if p[i] > level / (m - step):
                    break
                rejected.add(int(i))
            assert {i for i in range(m) if adjusted[i] <= level} == rejected


def test_a_p_value_of_just_2_5_percent_decides() -> None:
    above_it = np.nextafter(ALPHA, 1)
    (confirmed,), (refuted,), (neither,) = (
        decided([claim(*p)]) for p in ((ALPHA, 0.9), (0.9, ALPHA), (above_it, above_it))
    )
    assert (confirmed.verdict, refuted.verdict) == ("confirmed", "refuted")
    assert neither.verdict == "undecided"
    assert neither.why.startswith("the interval leaves it open; about ")
    assert pytest.approx(0.025) == ALPHA


@pytest.mark.parametrize("p", [(ALPHA, 0.9), (0.9, ALPHA)])
def test_what_would_be_decided_alone_says_that_the_correction_forbids_it(p: tuple[float, float]) -> None:
    both = decided([claim(*p), claim(0.5, 0.5)])
    reasons = [one.why.partition("; ")[0] for one in both]
    assert reasons == ["not after Holm's correction", "the interval leaves it open"]
    assert [one.verdict for one in both] == ["undecided", "undecided"]


def test_claims_without_numbers_say_so_and_keep_their_place() -> None:
    none = replace(claim(0.1, 0.1), evidence=None)
    told = replace(none, why="no such run")
    found = decided([none, claim(ALPHA, 0.9), told, claim(ALPHA / 2, 0.9, "selected on test")])
    assert [one.why for one in found] == ["no numbers", "", "no such run", "selected on test"]
    assert [one.verdict for one in found] == ["undecided", "confirmed", "undecided", "undecided"]


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_an_interval_has_the_level_of_the_study(alpha: float) -> None:
    """It was that of 95 % whatever a study had laid down, and so said another thing than the verdict."""
    (block,) = split(frame(search(lrs=(1e-3,))))
    place = results(block, "", Protocol(8, alpha=alpha))
    values = [-0.3, -0.5, -0.1, -0.6, -0.1, -0.4, -0.2, -0.3]
    student = stats.ttest_1samp(values, 0.0).confidence_interval(1 - alpha)
    drawn = np.random.default_rng(0).normal(0, 0.5, 30)
    exact = stats.binomtest(7, 8).proportion_ci(1 - alpha, method="exact")
    for evidence, expected in (
        (below(values), tuple(student)),
        (from_bootstrap(0.3, drawn, 7, -1.0, 1.0), stats.norm.interval(1 - alpha, 0.3, np.std(drawn, ddof=1))),
        (from_signs([1.0] * 7 + [2.0], [2.0] * 7 + [1.0]), (exact.low, exact.high)),
        # An estimate with the same error at any threshold: Student's interval again.
        (from_sign(0.4, 9, lambda at: (0.4 - at, 0.1), 5, -1.0, 1.0), stats.t.interval(1 - alpha, 5, 0.4, 0.1)),
    ):
        (claim,) = decided([Claim("best-cell", "made up", "", evidence, (place,))])
        assert claim.evidence is not None
        assert claim.level == 1 - alpha
        assert (claim.evidence.low, claim.evidence.high) == pytest.approx(expected)
    assert tables([claim])[0].header[3] == f"value [{100 * (1 - alpha):g} %]"
