"""The tests that statements are judged by: `lower`, `no_worse`, `shorter`. Each can say true, false and neither.

"False" needs a test of its own: that a difference is surely smaller than a margin, or of the other sign. So a wide
interval is never false, and a true difference that is smaller than the margin may be called false. The unit is the
replicate: a split of the data with a search and winners of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.analysis.measures import number
from runner.analysis.sequential import REPLICATES
from runner.analysis.statistics import estimate
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, TRUE

ALPHA = 0.025  # of each side
Values = Mapping[int, float]  # by replicate


@dataclass(frozen=True)
class Tested:
    """A mean over n replicates with its 95 % interval, and two p-values.

    `p_true` is that of the data if the statement were not true, `p_false` if it were not false. `why` says what forbids
    both verdicts.
    """

    mean: float
    low: float
    high: float
    n: int
    p_true: float
    p_false: float
    why: str = ""

    def word(self, not_true: str = "", not_false: str = "") -> tuple[str, str]:
        """The verdict and its reason.

        Args:
            not_true: what forbids to call it true, such as a rival that may do better outside its grid.
            not_false: what forbids to call it false.
        """
        if self.n == 0:
            return NOT_MEASURED, self.why
        if self.why:
            return OPEN, self.why
        for p, word, forbidden in ((self.p_true, TRUE, not_true), (self.p_false, FALSE, not_false)):
            if p <= ALPHA:
                return (OPEN, forbidden) if forbidden else (word, "")
        return OPEN, ""


def lower(differences: Iterable[float], margin: float) -> Tested:
    """True: the mean difference is below 0. False: it is surely above -margin, so at best lower by next to nothing."""
    return _student(differences, 0.0, -margin)


def no_worse(differences: Iterable[float], margin: float) -> Tested:
    """True: the mean difference is surely below the margin (non-inferiority). False: it is surely above it."""
    return _student(differences, margin, margin)


def _student(differences: Iterable[float], true_below: float, false_above: float) -> Tested:
    """One-sided t tests of paired differences."""
    values = np.fromiter(differences, float)
    found = estimate(values)
    why = ""
    if found.n and not math.isfinite(found.mean):
        why = "a run has no number"
    elif found.n < REPLICATES:
        why = f"{found.n} replicate{'' if found.n == 1 else 's'}; {REPLICATES} are needed" if found.n else ""
    elif found.std == 0 or not math.isfinite(true_below + false_above):
        why = "no spread over replicates" if found.std == 0 else "no margin"
    if why or not found.n:
        return Tested(found.mean, found.low, found.high, found.n, 1.0, 1.0, why)
    p_true = float(stats.ttest_1samp(values, true_below, alternative="less").pvalue)
    p_false = float(stats.ttest_1samp(values, false_above, alternative="greater").pvalue)
    return Tested(found.mean, found.low, found.high, found.n, p_true, p_false)


def shorter(bounds: Sequence[tuple[float, float]], margin: float) -> Tested:
    """Exact sign tests of log2 ratios of which only bounds may be known. True: the median is below 0.

    Args:
        bounds: the smallest and the largest that each replicate's log2 ratio can be; an infinite one is unknown.
        margin: false is what is surely above -margin.

    Returns: `mean` is the median of the middles, over those that have both bounds; `low` and `high` the least and the
        largest bound, which for 6 to 8 replicates are a 95 % interval of the median.
    """
    n = len(bounds)
    if not n:
        return Tested(math.nan, math.nan, math.nan, 0, 1.0, 1.0)
    lows, highs = (np.array(side) for side in zip(*bounds, strict=True))
    known = np.isfinite(lows) & np.isfinite(highs)
    middles = (lows[known] + highs[known]) / 2
    why = "" if n >= REPLICATES else f"{n} replicate{'' if n == 1 else 's'}; {REPLICATES} are needed"
    p_true, p_false = (
        float(stats.binomtest(int(signs.sum()), n, alternative="greater").pvalue)
        for signs in (highs < 0, lows > -margin)
    )
    median = float(np.median(middles)) if len(middles) else math.nan
    return Tested(median, float(lows.min()), float(highs.max()), n, p_true, p_false, why)


def differences(a: Values, b: Values) -> list[float]:
    """a - b for the replicates that both have."""
    return [round(a[unit] - b[unit], 9) for unit in sorted(a.keys() & b.keys())]


def best_of(rivals: Mapping[str, Values]) -> dict[int, str]:
    """The name of the best rival for each replicate that all of them have; at least two are needed.

    Which rival is best is decided, for each replicate, by the mean of the others (cross-fitting). Taking the smallest
    of several noisy numbers would make the rival look better than any of them is.
    """
    known = {name: values for name, values in rivals.items() if values}
    units = sorted(set.intersection(*(set(values) for values in known.values()))) if known else []

    def mean(name: str, left_out: int) -> float:
        value = float(np.mean([known[name][unit] for unit in units if unit != left_out]))
        return value if value == value else math.inf

    return {unit: min(known, key=lambda name: mean(name, unit)) for unit in units if len(units) > 1}


def usual(names: Mapping[int, str]) -> str:
    """The rival that was taken most often; '' where there is none."""
    return Counter(names.values()).most_common(1)[0][0] if names else ""


def taken(rivals: Mapping[str, Values], names: Mapping[int, str]) -> dict[int, float]:
    """The values of the rivals that `best_of` named."""
    return {unit: rivals[name][unit] for unit, name in names.items()}


def times(tested: Tested) -> str:
    """'0.5 times [0.4, 0.7]' of a mean of log2 ratios; an unknown bound is left open."""
    mean, low, high = (number(2**x) if abs(x) < 50 else "–" for x in (tested.mean, tested.low, tested.high))
    return f"{mean} times [{low}, {high}]"


def points(tested: Tested, digits: int = 2, unit: str = "points") -> str:
    """'-0.2 points [-0.3, -0.1]'."""
    mean, low, high = (number(x, digits, True) for x in (tested.mean, tested.low, tested.high))
    return f"{mean} {unit} [{low}, {high}]"
