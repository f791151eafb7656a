"""The tests behind the verdicts agree with SciPy's, and Holm's correction with his own example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.sequential import confidence_sequence
from runner.claims.claim import NO_LOOKS, Claim, decided, holm
from runner.claims.evidence import above, apart, below, everywhere, from_bootstrap, jointly, within
from runner.report.claims_table import markdown
from tests.analysis.test_select import frame
from tests.report.studies import search

VALUES = np.array([-0.31, 0.12, -0.44, -0.05, -0.27, -0.6])


def test_one_sided_p_values_are_students() -> None:
    found = below(VALUES)
    assert found is not None
    expected = stats.ttest_1samp(VALUES, 0.0, alternative="less")
    assert found.against_null == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.against_claim == pytest.approx(1 - expected.pvalue, rel=1e-9)
    interval = stats.ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    up = above(VALUES, -0.5)
    assert up is not None
    assert up.against_null == pytest.approx(stats.ttest_1samp(VALUES, -0.5, alternative="greater").pvalue, rel=1e-9)


def test_equivalence_is_two_one_sided_tests() -> None:
    found = within(VALUES, 0.3, centre=-0.2)
    assert found is not None
    sides = [stats.ttest_1samp(VALUES, -0.5, alternative="greater"), stats.ttest_1samp(VALUES, 0.1, alternative="less")]
    assert found.against_null == pytest.approx(max(side.pvalue for side in sides), rel=1e-9)


def test_a_confirmed_equivalence_has_its_interval_inside_the_margin() -> None:
    for scale in (0.05, 0.2, 0.5):
        values = VALUES * scale
        found = within(values, 0.2)
        assert found is not None
        assert (found.against_null <= 0.025) == (found.low > -0.2 and found.high < 0.2)


def test_apart_is_two_sided_and_refuted_by_equivalence() -> None:
    found, same = apart(VALUES, 0.2), within(VALUES, 0.2)
    assert found is not None
    assert same is not None
    assert found.against_null == pytest.approx(stats.ttest_1samp(VALUES, 0.0).pvalue, rel=1e-9)
    assert found.against_claim == same.against_null


def test_equal_values_and_one_value_say_nothing() -> None:
    for values in ([0.0] * 5, [1.0] * 5):
        same = within(values, 0.2)
        assert same is not None
        assert same.against_null == same.against_claim == 0.5
    assert below([1.0]) is None
    assert below([1.0, float("nan")]) is None


def test_holm_adjusts_step_by_step() -> None:
    # Holm 1979: the smallest of three is tested at alpha / 3, the next at alpha / 2, the last at alpha.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_all_of_several_is_as_weak_as_its_weakest_part() -> None:
    a, b = below(VALUES), below(VALUES + 0.1)
    assert a is not None
    assert b is not None
    both = jointly(b, a)
    assert both.against_null == b.against_null
    assert both.against_claim == min(1.0, 2 * min(a.against_claim, b.against_claim))
    assert (both.value, both.low, both.high) == (b.value, b.low, b.high)


def test_where_one_could_look_all_of_several_are_looked_at() -> None:
    """The one that is shown stood for all of them then: its e-value alone confirmed what another does not bear out."""
    clear, open_ = [-0.3, -0.35, -0.25, -0.32, -0.28, -0.3], [-0.9, 0.3, -0.8, 0.4, -0.7, -0.2]
    protocol = Protocol(0, looks=True, g=1.0)
    shown, other = below(clear), below(open_)
    assert shown is not None
    assert other is not None
    assert shown.looked is not None
    assert other.looked is not None
    alone, weak = shown.looked(protocol), other.looked(protocol)
    assert alone.against_null <= 0.025 < weak.against_null
    for combine, against in ((jointly, lambda p: min(1.0, 2 * min(p))), (everywhere, max)):
        both = combine(shown, other)
        assert both.looked is not None
        seen = both.looked(protocol)
        assert seen.against_null == weak.against_null
        assert seen.against_claim == against([alone.against_claim, weak.against_claim])
        assert (seen.value, seen.low, seen.high) == (alone.value, alone.low, alone.high)
    assert jointly(shown, replace(other, looked=None)).looked is None


def test_a_bootstrap_interval_is_centred_on_the_value() -> None:
    drawn = np.random.default_rng(0).normal(5.0, 0.1, 10_000)
    found = from_bootstrap(-1.0, drawn, 7, -np.inf, -0.5)
    assert (found.low, found.high) == pytest.approx((-1.196, -0.804), abs=0.01)
    assert found.against_null < 1e-5
    assert found.against_claim > 0.999


def _claim(values: list[float], why: str = "") -> Claim:
    return Claim("best-cell", "made up", "", below(values), (), why)


def test_verdicts_are_corrected_for_their_number() -> None:
    weak = [-0.3, -0.5, -0.1, -0.6, -0.1]  # p = 0.015 one-sided
    assert [c.verdict for c in decided([_claim(weak)])] == ["confirmed"]
    several = decided([_claim(weak), _claim([0.1, -0.1, 0.2, -0.2])])
    assert several[0].verdict == "undecided"
    assert several[0].why.startswith("not after Holm's correction; about 6 ")


def test_the_primary_claim_does_not_pay_for_the_exploratory_ones() -> None:
    """Holm's correction is over the others alone, who pay for one another."""
    weak = [-0.3, -0.5, -0.1, -0.6, -0.1]
    (block,) = split(frame(search(lrs=(1e-3,))))
    place = results(block, "", Protocol(primary="best-cell"))
    primary = replace(_claim(weak), places=(place,))
    others = [replace(primary, id=name) for name in ("adamw-rivals-sgdw", "cosine-best")]
    found = decided([*others, primary, replace(others[0], evidence=below([0.1, -0.1, 0.2, -0.2]))])
    assert [claim.is_primary for claim in found] == [False, False, True, False]
    assert [claim.verdict for claim in found] == ["undecided", "undecided", "confirmed", "undecided"]


def test_where_one_could_look_a_claim_is_judged_by_its_e_value() -> None:
    """What the t test confirms may be too little then; and what is enough has an interval that shows it."""
    (block,) = split(frame(search(lrs=(1e-3,))))
    place = results(block, "", Protocol(0, looks=True, g=1.0))
    weak, strong = [-0.3, -0.5, -0.1, -0.6, -0.1], [-0.3, -0.35, -0.25, -0.32, -0.28, -0.3]
    for values, verdict in ((weak, "undecided"), (strong, "confirmed")):
        (claim,) = decided([replace(_claim(values), places=(place,))])
        assert claim.verdict == verdict
        assert claim.evidence is not None
        half = confidence_sequence(float(np.std(values, ddof=1)), len(values), 1.0, 0.05)
        assert claim.evidence.high == pytest.approx(np.mean(values) + half)
        assert (claim.evidence.high < 0) == (verdict == "confirmed")


def test_a_test_that_allows_no_looks_decides_nothing_where_one_could_look() -> None:
    """Rank sums and bootstraps were judged by their p-values for a fixed number."""
    (block,) = split(frame(search(lrs=(1e-3,))))
    found = from_bootstrap(-1.0, np.random.default_rng(0).normal(0, 0.1, 100), 8, -np.inf, 0.0)
    for looks, verdict, why in ((False, "confirmed", ""), (True, "undecided", NO_LOOKS)):
        place = results(block, "", Protocol(0, looks=looks))
        one = Claim("separable", "made up", "", found, (place,))
        (claim,) = decided([one])
        assert (claim.verdict, claim.why) == (verdict, why)
        assert claim.evidence == found
        (kept,) = decided([replace(one, why="selected on test")])
        assert kept.why == "selected on test"


def test_a_forbidden_verdict_stays_undecided_and_is_not_counted() -> None:
    weak = [-0.3, -0.5, -0.1, -0.6, -0.1]
    found = decided([_claim(weak), _claim([0.1, -0.1, 0.2, -0.2], "selected on test")])
    assert [c.verdict for c in found] == ["confirmed", "undecided"]
    assert found[1].why == "selected on test"


def test_where_nothing_is_true_few_studies_confirm_anything() -> None:
    """Twelve null comparisons of 6 pairs in each of 2,000 studies: at most 5 % of the studies confirm any."""
    random = np.random.default_rng(1)
    confirmed = refuted = 0
    for _ in range(2000):
        found = decided([_claim(list(random.normal(0, 0.5, 6))) for _ in range(12)])
        confirmed += any(claim.verdict == "confirmed" for claim in found)
        refuted += any(claim.verdict == "refuted" for claim in found)
    assert confirmed <= 0.05 * 2000
    assert refuted <= 0.05 * 2000


def test_intervals_cover_the_truth() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        found = below(random.normal(0.3, 0.5, 8))
        assert found is not None
        hits += found.low <= 0.3 <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_a_value_that_no_interval_bounds_stands_alone() -> None:
    """Four values exclude none under looks with g = 1: the table showed brackets around two dashes."""
    (block,) = split(frame(search(lrs=(1e-3,))))
    place = results(block, "", Protocol(0, looks=True, g=1.0))
    for count, shown in ((4, "| -0.3 |"), (6, "| -0.3 [-")):
        values = [-0.31, -0.29] * (count // 2)
        (claim,) = decided([replace(_claim(values), places=(place,))])
        assert shown in markdown([claim])
