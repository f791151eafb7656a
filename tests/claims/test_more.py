"""How much more would decide: as many as a test with the same mean and spread needs, correction included."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from runner.analysis.protocol import Protocol
from runner.analysis.sequential import e_value
from runner.claims.claim import ALPHA, Claim, decided
from runner.claims.evidence import Evidence, below
from runner.claims.more import more


@pytest.mark.parametrize("t", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("factor", [1.0, 12.0])
def test_so_many_are_what_the_test_needs_if_mean_and_spread_stay(t: float, factor: float) -> None:
    n = 40
    p = float(stats.t(n - 1).sf(t))
    found = re.fullmatch(
        r"about (\d+) replicates would decide it, 40 are there",
        more((n, "replicates"), ALPHA, (p, factor * p), (1 - p, 1.0)),
    )
    assert found
    needed = next(m for m in range(n, 10_000) if stats.t(m - 1).sf(t * math.sqrt(m / n)) <= ALPHA / factor)
    assert int(found[1]) == pytest.approx(needed, rel=0.07)


def test_the_nearer_verdict_is_the_one_that_is_meant() -> None:
    assert more((8, "replicates"), ALPHA, (0.9, 1.0), (0.1, 0.1)) == more(
        (8, "replicates"), ALPHA, (0.1, 0.1), (0.9, 1.0)
    )


def test_what_lies_on_its_threshold_no_number_decides() -> None:
    words = "no number of seeds in a cell in reach would decide it"
    assert more((4, "seeds in a cell"), ALPHA, (0.5, 0.5), (0.5, 0.5)) == words
    assert more((4, "seeds in a cell"), ALPHA, (0.49, 0.49), (0.51, 0.51)) == words


@pytest.mark.parametrize(("n", "effect"), [(8, 0.5), (8, 0.7), (20, 0.4)])
@pytest.mark.parametrize("factor", [1.0, 12.0])
def test_under_looks_so_many_are_what_the_e_value_needs(n: int, effect: float, factor: float) -> None:
    """An e-value is no tail of a normal: of eight it was said that no number would do, or six times too many."""
    values = np.random.default_rng(n).normal(0, 1, n)
    values = (values - values.mean()) / values.std(ddof=1) - effect
    fixed = below(values)
    assert fixed is not None
    assert fixed.looked is not None
    found = fixed.looked(Protocol(0, looks=True, g=1.0))
    sides = ((found.against_null, factor * found.against_null), (found.against_claim, factor * found.against_claim))
    words = more((n, "replicates"), ALPHA, *sides, grown=found.grown)
    needed = next(m for m in range(n, 10_000) if e_value(effect, 1.0, m, 1.0) >= factor / (2 * ALPHA))
    match = re.fullmatch(rf"about (\d+) replicates would decide it, {n} are there", words)
    assert match
    assert int(match[1]) == pytest.approx(needed, rel=0.05)


def test_under_looks_what_lies_on_its_threshold_no_number_decides() -> None:
    fixed = below([-1.0, 1.0, -1.0, 1.0])
    assert fixed is not None
    assert fixed.looked is not None
    found = fixed.looked(Protocol(0, looks=True))
    assert found.grown is not None
    words = "no number of replicates in reach would decide it"
    assert more((4, "replicates"), ALPHA, (1.0, 1.0), (1.0, 1.0), grown=found.grown) == words


def test_a_correction_that_goes_beyond_1_counts_in_full() -> None:
    """Of 12 claims a p-value of 0.2 is corrected to 2.4, and not to 1."""
    weak = Evidence(-0.5, -2.0, 1.0, 30, 0.2, 0.8)
    claims = decided([Claim("best-cell", "made up", "", weak, ())] * 12)
    assert more((30, "seeds"), ALPHA, (0.2, 2.4), (0.8, 9.6)) in claims[0].why
