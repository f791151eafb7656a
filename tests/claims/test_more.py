"""How much more would decide: as many as a test with the same mean and spread needs, correction included."""

from __future__ import annotations

import math
import re

import pytest
from scipy import stats

from runner.claims.claim import ALPHA
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
