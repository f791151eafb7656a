"""The few statistics that are printed, each with its n: `estimate`, `paired`, `wilson`, `detectable`, `needed`.

Intervals are two-sided, 95 % where nothing else is said. One number gives no interval (NaN), never an invented one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special  # scipy.stats would take a second to import for the same two functions

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over n runs with its interval [low, high], Student's t; NaN where n does not allow it.

    `level` is the interval's coverage, so that whoever prints the interval can say which it is.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int
    level: float = LEVEL

    @property
    def half(self) -> float:
        """Half the interval's width: the number behind ±."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Paired:
    """`difference` is a - b over the seeds that both have; `dropped` are the seeds that only one has."""

    difference: Estimate
    seeds: tuple[int, ...]
    dropped: tuple[int, ...]


def estimate(values: Iterable[float]) -> Estimate:
    """Mean, std (n - 1) and t interval: mean ± t(0.975, n - 1) * std / sqrt(n) (Student 1908).

    A value that is not finite makes all of them NaN: such runs are counted elsewhere, never left out of a mean.
    """
    array = np.fromiter(values, float)
    n = len(array)
    if n == 0 or not np.isfinite(array).all():
        return Estimate(math.nan, math.nan, math.nan, math.nan, n)
    mean = float(array.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1)
    # Equal numbers have no spread, whatever rounding says.
    std = 0.0 if np.ptp(array) == 0 else float(array.std(ddof=1))
    half = t_half(std, n)
    return Estimate(mean, std, mean - half, mean + half, n)


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """Differences a - b per seed, with the interval of the paired t test."""
    common = sorted(set(a) & set(b))
    # Errors are multiples of 100 / N: differences that are equal in them must be equal here too.
    differences = [round(a[seed] - b[seed], 9) for seed in common]
    return Paired(estimate(differences), tuple(common), tuple(sorted(set(a) ^ set(b))))


def t_half(std: float, n: int, level: float = LEVEL) -> float:
    """Half the width of the t interval of a mean of n >= 2 values with this standard deviation (n - 1)."""
    return t_quantile((1 + level) / 2, n - 1) * std / math.sqrt(n)


def t_quantile(p: float, df: float) -> float:
    return float(special.stdtrit(df, p))


def wilson(percent: float, n: int) -> tuple[float, float]:
    """Interval in percent of an error rate measured on n test examples (Wilson 1927): (low, high).

    It is the uncertainty from the finite test set, which more seeds do not reduce.
    """
    if n < 1 or not 0 <= percent <= 100:
        return math.nan, math.nan
    z, p = float(special.ndtri((1 + LEVEL) / 2)), percent / 100
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def detectable(std: float, n: int, power: float = 0.80, alpha: float = 1 - LEVEL) -> float:
    """The smallest true difference that a paired t test over n seeds finds with this power at this two-sided level.

    delta = nc * std / sqrt(n), std that of the paired differences, nc the noncentrality at which noncentral t
    with n - 1 degrees of freedom exceeds t(1 - alpha / 2, n - 1) with probability `power` (Cohen 1988, chapter 2; the
    other tail adds nothing that matters). NaN for n < 2.
    """
    if n < 2 or not math.isfinite(std):
        return math.nan
    return float(special.nctdtrinc(n - 1, 1 - power, t_critical(n, alpha))) * std / math.sqrt(n)


def t_critical(n: int, alpha: float = 1 - LEVEL) -> float:
    """What |t| of n pairs must exceed in a two-sided t test at this level."""
    return t_quantile(1 - alpha / 2, n - 1)


def needed(
    std: float, difference: float, critical: Callable[[int], float] = t_critical, power: float = 0.80
) -> int | None:
    """How many pairs it takes to find a true difference with this power (Cohen 1988).

    Args:
        std: standard deviation of the paired differences.
        difference: the true one, in the same unit; its sign does not matter.
        critical: what |t| of n pairs must exceed, by n.
        power: the chance to find it.

    Returns: at least 2; None where it takes more than a million, or std or the difference is no positive number.
    """
    if not (0 < std < math.inf and 0 < abs(difference) < math.inf):
        return None

    def found(n: int) -> float:
        effect, limit = abs(difference) / std * math.sqrt(n), critical(n)
        if effect > 30 + 10 * limit:  # so far in its tail the noncentral t has no number, and the power is certain
            return 1.0
        return 1 - float(special.nctdtr(n - 1, effect, limit)) if limit < math.inf else 0.0

    low, high = 1, 2
    while found(high) < power:
        low, high = high, 2 * high
        if high > 10**6:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high
