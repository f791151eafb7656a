"""Claims about one verdict, against SciPy's paired t test: what it says, and what keeps it from saying anything."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import Block, split
from runner.analysis.protocol import Protocol, of_commands
from runner.analysis.results import results
from runner.analysis.statistics import Estimate, estimate
from runner.analysis.study_results import ArmResult
from runner.analysis.verdict import EDGE, ONE_REPLICATE, OPTIMISTIC, verdict
from tests.analysis.test_select import frame
from tests.report.studies import search, trial

(BLOCK,) = split(frame(search(lrs=(1e-3,))))
NUMBERS = tuple(range(9))  # of replicates
MINE, OTHER = (
    ArmResult(arm, "Adam + L2", "adam", name, "", 0, 0, 0, 0, 0, replicates=NUMBERS)
    for arm, name in (("AdamW", "adamw"), ("Adam + L2", "adam"))
)
OTHER = replace(OTHER, values={"test_error": estimate([5.0])})
CLEAR = estimate([-0.5, -0.6, -0.4, -0.5])
FIXED = Protocol(4)


def judged(
    difference: Estimate,
    mine: ArmResult = MINE,
    other: ArmResult = OTHER,
    block: Block = BLOCK,
    protocol: Protocol = FIXED,
) -> str:
    return verdict(block, mine, other, difference, protocol)


def test_it_is_lower_or_higher_exactly_where_the_t_test_is_significant_at_5_percent() -> None:
    rng = np.random.default_rng(0)
    said = set()
    for _ in range(300):
        values = rng.normal(rng.normal(0, 0.5), 0.5, rng.integers(4, 10))
        significant = stats.ttest_1samp(values, 0.0).pvalue < 0.05
        expected = ("lower" if values.mean() < 0 else "higher") if significant else "undecided"
        assert judged(estimate(values), protocol=Protocol(4, equal_within=1e-9)) == expected
        said.add(expected)
    assert said == {"lower", "higher", "undecided"}


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-2.0, 0.0)])
def test_an_interval_that_ends_at_0_decides_nothing(low: float, high: float) -> None:
    assert judged(Estimate((low + high) / 2, 1.0, low, high, 5)) == "undecided"


def test_a_difference_that_is_the_same_in_all_replicates_is_no_proof_also_of_none() -> None:
    for value in (0.5, -0.5, 0.0):
        assert judged(estimate([value] * 4)) == "undecided (no spread over replicates)"


def test_four_replicates_can_decide_and_fewer_say_how_few() -> None:
    assert judged(CLEAR) == "lower"
    for n in range(4):
        assert (
            judged(estimate([-1.0, -1.01, -0.99][:n]))
            == f"undecided ({n} replicate{'' if n == 1 else 's'}; 4 are needed)"
        )
    assert judged(estimate([-1.0, math.nan, -1.0, -1.1])) == "undecided (a run has no number)"


def test_one_replicate_has_no_verdict_about_optimizers() -> None:
    assert judged(CLEAR, mine=replace(MINE, replicates=())) == ONE_REPLICATE
    assert judged(CLEAR, other=replace(OTHER, replicates=())) == ONE_REPLICATE


def test_a_fixed_number_of_replicates_is_judged_when_all_are_there() -> None:
    assert judged(CLEAR, protocol=Protocol(8)) == "undecided (4 of 8 replicates are there)"
    assert judged(CLEAR, protocol=Protocol(0, looks=True)) == "lower"


@pytest.mark.parametrize(("error", "said"), [(2.0, "undecided"), (20.0, "equal")])
def test_what_is_called_equal_is_within_a_share_of_the_references_error(error: float, said: str) -> None:
    near = estimate([0.3, -0.3, 0.2, -0.2, 0.1, -0.1])
    other = replace(OTHER, values={"test_error": estimate([error])})
    assert judged(near, other=other) == said
    assert judged(near, other=other, protocol=Protocol(4, equal_within=0.1)) == "undecided"


def test_two_arms_that_guess_are_not_equal_but_undecided() -> None:
    near = estimate([0.3, -0.3, 0.2, -0.2, 0.1, -0.1])
    guess = {"test_error": estimate([90.0, 89.9, 90.1, 90.0])}
    for mine, said in ((guess, "undecided (nothing was learned)"), ({"test_error": estimate([20.0, 20.1])}, "equal")):
        other = replace(OTHER, values=guess)
        assert judged(near, replace(MINE, values=mine), other, replace(BLOCK, classes=10)) == said


def test_two_arms_that_always_answer_with_one_class_are_not_equal() -> None:
    near = estimate([0.3, -0.3, 0.2, -0.2, 0.1, -0.1])
    one = {"test_error": estimate([89.87, 89.87, 89.86, 89.87])}
    block = replace(BLOCK, classes=10)
    assert judged(near, replace(MINE, values=one), replace(OTHER, values=one), block) == (
        "undecided (nothing was learned)"
    )


@pytest.mark.parametrize(
    ("counts", "there", "looks"),
    [
        ((6, 4), 6, False),
        ((6, 4, 6), 6, False),
        ((1, 6), 6, False),
        ((4, 6), 4, False),
        ((4, 6), 5, True),
        ((4, 6, 4), 6, True),
        ((0, 4), 6, True),
    ],
)
def test_only_replicates_that_were_added_later_could_be_looked_for(
    counts: tuple[int, ...], there: int, looks: bool
) -> None:
    protocol = of_commands([[{"replicates": count}] for count in counts], there=there)
    assert protocol.looks == looks
    assert protocol.replicates == (0 if 0 in counts else 4 if counts == (4, 6) and there == 4 else 6)


@pytest.mark.parametrize(("sign", "word"), [(1, "lower"), (-1, "higher")])
def test_only_the_edge_of_the_arm_that_is_behind_forbids_a_verdict(sign: int, word: str) -> None:
    """A better cell outside the grid of the arm that is ahead would make it more so."""
    difference = estimate([-1.0 * sign, -1.01 * sign, -0.99 * sign, -1.02 * sign])
    mine, other = replace(MINE, edge="lr smallest"), replace(OTHER, edge="wd largest")
    assert judged(difference, mine=mine) == (word if word == "lower" else EDGE)
    assert judged(difference, other=other) == (EDGE if word == "lower" else word)
    assert judged(difference, mine=mine, other=other) == EDGE


def test_any_edge_forbids_to_call_two_arms_equal() -> None:
    near = estimate([0.3, -0.3, 0.2, -0.2, 0.1, -0.1])
    large = replace(OTHER, values={"test_error": estimate([20.0])})
    assert judged(near, other=large) == "equal"
    assert judged(near, mine=replace(MINE, edge="lr smallest"), other=large) == EDGE
    assert judged(near, other=replace(large, edge="lr smallest")) == EDGE


def test_missing_fresh_seeds_forbid_a_verdict() -> None:
    said = "undecided (no fresh seeds)"
    assert judged(CLEAR, mine=replace(MINE, remark=OPTIMISTIC)) == said
    assert judged(CLEAR, other=replace(OTHER, remark=OPTIMISTIC)) == said
    assert judged(CLEAR, mine=replace(MINE, remark=f"something else; {OPTIMISTIC}")) == said
    assert judged(CLEAR, mine=replace(MINE, remark="something else")) == "lower"


def test_without_a_validation_split_there_is_none_whatever_else_is_so() -> None:
    (block,) = split(frame(search(lrs=(1e-3,), val_size=0)))
    assert judged(CLEAR, block=block) == "no verdict (selected on test)"
    assert judged(CLEAR, replace(MINE, edge="lr smallest"), OTHER, block) == "no verdict (selected on test)"


def test_a_difference_is_the_arm_less_its_reference_seed_by_seed() -> None:
    """As `scipy.stats.ttest_rel` has it, for the seeds that both have, in whatever order their rows are."""
    errors = {"adam": {1000: 5.0, 1001: 6.0, 7: 5.5, 64: 1.0}, "adamw": {1001: 5.1, 7: 5.0, 1000: 4.4, 33: 9.0}}
    rows = [trial(name, 1e-3, 0.1, 0) for name in errors]
    for name, by_seed in errors.items():
        rows += [trial(name, 1e-3, 0.1, seed, phase="final", error=error) for seed, error in by_seed.items()]
    found = {result.arm: result for result in results(split(frame(rows))[0]).arms}
    assert found["Adam + L2"].difference is None
    pairs = found["AdamW"].difference
    assert pairs is not None
    assert (pairs.seeds, pairs.dropped) == ((7, 1000, 1001), (33, 64))
    expected = stats.ttest_rel(*([errors[name][seed] for seed in pairs.seeds] for name in ("adamw", "adam")))
    interval = expected.confidence_interval(0.95)
    assert (pairs.difference.low, pairs.difference.high) == pytest.approx((interval.low, interval.high))
    # The smallest difference that these three seeds would show with 80 % power.
    critical, spread = stats.t.ppf(0.975, 2), pairs.difference.std / math.sqrt(3)
    power = stats.nct.sf(critical, 2, found["AdamW"].detectable / spread)
    assert power == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_an_arm_that_is_not_there_or_has_no_usable_run_is_compared_with_nothing(name: str) -> None:
    other = {"adam": "adamw", "adamw": "adam"}[name]
    alone = [trial(name, 1e-3, 0.1, seed) for seed in (0, 1)]
    failed = [trial(other, 1e-3, 0.1, seed, status="failed") for seed in (0, 1)]
    for rows in (alone, alone + failed):
        for result in results(split(frame(rows))[0]).arms:
            assert (result.difference, result.verdict) == (None, "")
            assert math.isnan(result.detectable)
