"""Exact tests, for where values are few or some are only known to be larger than any: `rank_sum(a, b)`.

They assume no distribution: the p-value is the share of all ways in which the values could have been dealt out that are
as extreme. So a few values have a smallest p-value, however far apart they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from runner.analysis.statistics import LEVEL

ONE_SIDED = (1 - LEVEL) / 2


def fewest() -> int:
    """The fewest values whose signs can say anything: of n differences all have one sign by chance with 2^-n (6)."""
    return math.ceil(-math.log2(ONE_SIDED))


def rank_sum(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """p-values that `a` is no smaller than `b`, and no larger: the exact rank-sum test (Wilcoxon 1945).

    Equal values share their mean rank, and the distribution is that of these ranks (Lehmann 1975, section 1.4). A value
    that was not reached is infinite: it is larger than all others and equal to the others of its kind.
    """
    pooled = np.array([*a, *b])
    # Twice the rank, which is whole where values are equal too.
    ranks = np.array([2 * int((pooled < one).sum()) + int((pooled == one).sum()) + 1 for one in pooled])
    ways = np.zeros((len(a) + 1, int(ranks.sum()) + 1))  # ways[k, s] to take k of the ranks with the sum s
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    p = ways[len(a)] / ways[len(a)].sum()
    found = int(ranks[: len(a)].sum())
    return min(1.0, float(p[: found + 1].sum())), min(1.0, float(p[found:].sum()))


def smallest(n: int, m: int) -> float:
    """The smallest p-value that `rank_sum` of n and m values can have."""
    return 1 / math.comb(n + m, n)


def superiority(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """The share of pairs in which the value of `a` is the smaller, ties counted half, with its 95 % interval.

    The interval is that of Newcombe (2006, Statistics in Medicine 25:559, method 5).
    """
    less = sum((x < y) + (x == y) / 2 for x in a for y in b)
    n, m = len(a), len(b)
    share, mean = less / (n * m), (n + m) / 2
    grid = np.linspace(0, 1, 100_001)
    variance = grid * (1 - grid) / (n * m) * (2 * mean - 1 - (3 * mean - 3) / ((2 - grid) * (1 + grid)))
    held = grid[np.abs(share - grid) <= special.ndtri(1 - ONE_SIDED) * np.sqrt(variance) + 1e-12]
    return share, float(held.min()), float(held.max())
