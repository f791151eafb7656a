"""How much more of a sample would decide what an interval leaves open: `more(...)`, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy import special

from runner.analysis.measures import short

REACH = 1000  # times what is there; a number beyond it is no advice


def more(
    sample: tuple[float, str],
    alpha: float,
    *sides: tuple[float, float],
    grown: Callable[[int], tuple[float, float]] | None = None,
) -> str:
    """'about 30 replicates would decide it', if value and spread stayed what they are.

    Args:
        sample: how many there are, and what they are: (8, 'replicates').
        alpha: one-sided level.
        sides: for each of the two verdicts the p-value against its opposite, alone and corrected, which may be above 1.
        grown: both p-values of so many, where a p-value is that of an e-value. Without it they are taken for those of a
            t or normal test.
    """
    count, what = sample
    factors = [corrected / p if p > 0 else 1.0 for p, corrected in sides]
    needed = _by_e_value(int(count), alpha, factors, grown) if grown else _by_normal(count, alpha, factors, sides)
    if needed is None or needed > REACH * count:
        return f"no number of {what} in reach would decide it"
    digits = max(0, len(str(needed)) - 2)  # an extrapolation is good to two
    return f"about {round(needed, -digits)} {what} would decide it, {short(count)} are there"


def _by_normal(
    count: float, alpha: float, factors: Sequence[float], sides: Sequence[tuple[float, float]]
) -> int | None:
    """The normal quantile of a p-value grows with the root of the sample; the correction is a factor to overcome."""
    wanted = [
        count * float(special.ndtri(alpha / factor) / special.ndtri(p)) ** 2
        for factor, (p, _) in zip(factors, sides, strict=True)
        if 0 < p < 0.5  # else the value is on the other side
    ]
    return math.ceil(min(wanted)) if wanted and min(wanted) < math.inf else None


def _by_e_value(
    count: int, alpha: float, factors: Sequence[float], grown: Callable[[int], tuple[float, float]]
) -> int | None:
    """The fewest whose e-value decides. It grows like the exponential of their number, and not like a normal tail."""

    def decides(n: int) -> bool:
        return any(factor * p <= alpha for factor, p in zip(factors, grown(n), strict=True))

    low, high = count, 2 * max(1, count)
    while not decides(high):
        if high > REACH * count:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
