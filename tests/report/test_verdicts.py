"""Claims about one verdict, against SciPy's paired t test: what it says, and what keeps it from saying anything."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import Block, split
from runner.analysis.results import EDGE, OPTIMISTIC, results, verdict
from runner.analysis.statistics import Estimate, estimate
from runner.analysis.study_results import ArmResult
from tests.analysis.test_select import frame
from tests.report.studies import search, trial

(BLOCK,) = split(frame(search(lrs=(1e-3,))))
MINE, OTHER = (ArmResult(arm, "Adam + L2", "adam", name, "", 0, 0, 0, 0, 0) for arm, name in
               (("AdamW", "adamw"), ("Adam + L2", "adam")))  # fmt: skip
CLEAR = estimate([-0.5, -0.6, -0.4])


def judged(difference: Estimate, mine: ArmResult = MINE, other: ArmResult = OTHER, block: Block = BLOCK) -> str:
    return verdict(block, mine, other, difference)


def test_it_is_lower_or_higher_exactly_where_the_t_test_is_significant_at_5_percent() -> None:
    rng = np.random.default_rng(0)
    said = set()
    for _ in range(300):
        values = rng.normal(rng.normal(0, 0.5), 0.5, rng.integers(2, 8))
        significant = stats.ttest_1samp(values, 0.0).pvalue < 0.05
        expected = ("lower" if values.mean() < 0 else "higher") if significant else "undecided"
        assert judged(estimate(values)) == expected
        said.add(expected)
    assert said == {"lower", "higher", "undecided"}


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-2.0, 0.0)])
def test_an_interval_that_ends_at_0_decides_nothing(low: float, high: float) -> None:
    assert judged(Estimate((low + high) / 2, 1.0, low, high, 5)) == "undecided"


def test_a_difference_that_is_the_same_for_all_seeds_is_no_proof_and_none_is_no_difference() -> None:
    assert judged(estimate([0.5, 0.5])) == judged(estimate([-0.5, -0.5])) == "undecided (no spread over seeds)"
    assert judged(estimate([0.0, 0.0])) == "undecided"


def test_two_seeds_can_decide_and_fewer_say_how_few() -> None:
    assert judged(estimate([-1.0, -1.01])) == "lower"
    assert judged(estimate([-1.0])) == "undecided (one seed)"
    assert judged(estimate([])) == "undecided (no common seeds)"
    assert judged(estimate([math.nan])) == "undecided (one seed)"
    assert judged(estimate([-1.0, math.nan, -1.0])) == "undecided (a run has no number)"


def test_either_arms_edge_or_missing_fresh_seeds_forbid_a_verdict() -> None:
    for changes, said in (({"edge": "lr smallest"}, EDGE), ({"remark": OPTIMISTIC}, "undecided (no fresh seeds)")):
        assert judged(CLEAR, mine=replace(MINE, **changes)) == said
        assert judged(CLEAR, other=replace(OTHER, **changes)) == said
    assert judged(CLEAR, mine=replace(MINE, remark=f"something else; {OPTIMISTIC}")) == "undecided (no fresh seeds)"
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
