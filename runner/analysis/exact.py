"""The exact sign test, for pairs of which some values are only known to be larger than any: `sign_test(less, more)`.

It asks of each pair which of the two is the smaller, and assumes nothing else; pairs of equal values, which say nothing
of that, are left out. If neither tends to be smaller, each sign has the chance of one half. So a few pairs have a
smallest p-value, however far apart their values are.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

GRID = 10_001  # shares that an interval is looked for among


def fewest(alpha: float) -> int:
    """The fewest pairs whose signs can decide anything: all of n are one by chance with 2^-n (of 2.5 % each side, 6).

    Args:
        alpha: two-sided level.
    """
    return math.ceil(-math.log2(alpha / 2))


def sign_test(less: int, more: int) -> tuple[float, float]:
    """p-values that the first of a pair does not tend to be smaller, and that it does not tend to be larger.

    Args:
        less: pairs of which the first value is the smaller.
        more: pairs of which it is the larger.
    """
    n = less + more
    return float(special.bdtr(more, n, 0.5)), float(special.bdtr(less, n, 0.5))


def sign_interval(less: int, more: int, alpha: float) -> tuple[float, float]:
    """The chance that the first is the smaller: the exact interval of level 1 - alpha (Clopper & Pearson 1934)."""
    low = float(special.betaincinv(less, more + 1, alpha / 2)) if less else 0.0
    return low, 1 - (float(special.betaincinv(more, less + 1, alpha / 2)) if more else 0.0)


def sign_e_value(less: float, more: float, chance: float = 0.5) -> float:
    """The evidence of signs against a chance of at most `chance` that the first is the smaller, at any number of pairs.

    It is the likelihood ratio of the signs under a chance that may be anything above `chance` (uniform), against
    `chance` itself. Where that is the truth, or larger than it, this is a test (super)martingale, so that the
    probability that it ever reaches 1 / a is at most a (Ville 1939; Ramdas et al. 2023, Game-theoretic statistics and
    safe anytime-valid inference).

    Args:
        less: pairs of which the first value is the smaller; a fraction where their number is extrapolated.
        more: pairs of which it is the larger.
        chance: above 0 and below 1.
    """
    above = special.betaincc(less + 1, more + 1, chance)
    if above == 0:
        return 0.0
    log = special.betaln(less + 1, more + 1) + math.log(above) - math.log1p(-chance)
    log -= less * math.log(chance) + more * math.log1p(-chance)
    return math.exp(log) if log < 700 else math.inf


def sign_sequence(less: int, more: int, alpha: float) -> tuple[float, float]:
    """The chances that `sign_e_value` of neither side excludes at alpha / 2: the interval holds at all n at once."""
    chances = np.linspace(0, 1, GRID)[1:-1]
    most = 2 / alpha
    held = [c for c in chances if max(sign_e_value(less, more, c), sign_e_value(more, less, 1 - c)) < most]
    return float(min(held)) if less else 0.0, float(max(held)) if more else 1.0
