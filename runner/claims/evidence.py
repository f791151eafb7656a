"""The evidence for a claim: `Evidence`, and the tests that make it of values, one for each replicate or seed.

Every statistic carries two p-values: of the data if the claim were false, and if it were true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from runner.analysis.exact import sign_e_value, sign_interval, sign_sequence, sign_test
from runner.analysis.protocol import Protocol
from runner.analysis.sequential import confidence_sequence, e_value
from runner.analysis.statistics import LEVEL, Estimate, estimate, t_quantile


@dataclass(frozen=True)
class Evidence:
    """A statistic with its interval, and two p-values: if the claim is false (`against_null`), and if it holds."""

    value: float
    low: float
    high: float
    n: int
    against_null: float
    against_claim: float
    looked: Callable[[Protocol], Evidence] | None = None  # the same where one could look after every value
    grown: Callable[[int], tuple[float, float]] | None = None  # the p-values of so many values that are alike
    bounds: Callable[[float], tuple[float, float]] | None = None  # the interval by alpha; it is made for 5 %
    # Where the value is found to be if the claim is confirmed, and if it is refuted: as for `verdict.outside`.
    sides: tuple[int, int] = (0, 0)
    # Both p-values, 0 or from 1, of somebody who only knows that the truth lies in an interval: (low, high).
    by_interval: Callable[[float, float], tuple[float, float]] | None = None


P = Callable[[float, int], float]  # p(threshold, side); side 1: the mean is above the threshold, -1: below
Tests = Callable[[P], tuple[float, float]]


def below(values: Iterable[float], threshold: float = 0.0) -> Evidence | None:
    """The claim: the mean is below the threshold. One-sided t tests; None where the values do not allow them."""
    return _tested(values, lambda p: (p(threshold, -1), p(threshold, 1)), lambda _: (-1, 1))


def above(values: Iterable[float], threshold: float = 0.0) -> Evidence | None:
    """The claim: the mean is above the threshold."""
    return _tested(values, lambda p: (p(threshold, 1), p(threshold, -1)), lambda _: (1, -1))


def within(values: Iterable[float], margin: float, centre: float = 0.0) -> Evidence | None:
    """The claim: the mean is no further than `margin` from `centre` (two one-sided tests, Schuirmann 1987)."""
    return _tested(values, lambda p: _inside(p, centre - margin, centre + margin), lambda m: (0, _side_of(centre, m)))


def no_higher(values: Iterable[float], margin: float) -> Evidence | None:
    """The claim: the mean is not above 0 by `margin` or more; what is far below bears it out (non-inferiority)."""
    return below(values, margin)


def no_lower(values: Iterable[float], margin: float) -> Evidence | None:
    """The claim: the mean is not below 0 by `margin` or more."""
    return above(values, -margin)


def apart(values: Iterable[float], margin: float) -> Evidence | None:
    """The claim: the mean is not 0. Refuted where it is shown to be within `margin` of it."""

    def tests(p: P) -> tuple[float, float]:
        return 2 * min(p(0.0, 1), p(0.0, -1)), _inside(p, -margin, margin)[0]

    return _tested(values, tests, lambda mean: (_side_of(0.0, mean), 0))


def _side_of(centre: float, mean: float) -> int:
    return 1 if mean > centre else -1


def _inside(p: P, low: float, high: float) -> tuple[float, float]:
    return max(p(low, 1), p(high, -1)), min(p(high, 1), p(low, -1))


def _tested(values: Iterable[float], tests: Tests, sides: Callable[[float], tuple[int, int]]) -> Evidence | None:
    """`tests` makes the two p-values of an evidence from p, and `sides` its sides from the mean."""
    mean = estimate(values)
    if mean.n < 2 or not math.isfinite(mean.mean):
        return None
    error = mean.half / t_quantile((1 + LEVEL) / 2, mean.n - 1)
    p = _p_value(mean.mean, error, lambda t: special.stdtr(mean.n - 1, t))
    bounds = partial(_around, mean.mean, error, mean.n - 1)

    def looked(protocol: Protocol) -> Evidence:
        half = confidence_sequence(mean.std, mean.n, protocol.g, protocol.alpha)

        def grown(n: int) -> tuple[float, float]:
            return tests(_anytime(replace(mean, n=n), protocol.g))

        seen = Evidence(mean.mean, mean.mean - half, mean.mean + half, mean.n, *grown(mean.n), grown=grown)
        return replace(seen, **read)

    def by_interval(low: float, high: float) -> tuple[float, float]:
        return tests(lambda threshold, side: float(min(side * (low - threshold), side * (high - threshold)) <= 0))

    read: dict[str, Any] = {"sides": sides(mean.mean), "by_interval": by_interval}
    return replace(Evidence(mean.mean, mean.low, mean.high, mean.n, *tests(p), looked, bounds=bounds), **read)


def _around(value: float, error: float, freedom: float, alpha: float) -> tuple[float, float]:
    """Student's interval, the normal one where the degrees of freedom are infinite."""
    at = 1 - alpha / 2
    half = error * (t_quantile(at, freedom) if math.isfinite(freedom) else float(special.ndtri(at)))
    return value - half, value + half


def _anytime(mean: Estimate, g: float) -> P:
    """p(threshold, side) that holds however often it is looked at: 1 / e, halved as the two sides are alike."""

    def p(threshold: float, side: int) -> float:
        distance = mean.mean - threshold
        return min(1.0, 0.5 / e_value(distance, mean.std, mean.n, g)) if side * distance > 0 else 1.0

    return p


def _p_value(value: float, error: float, cumulative: Callable[[float], float]) -> P:
    """p(threshold, side) of a value with a standard error, by the cumulative distribution of their ratio."""

    def p(threshold: float, side: int) -> float:
        distance = side * (value - threshold)
        if error == 0:  # Equal numbers do not say how they would vary, and so decide nothing.
            return 0.5
        return float(cumulative(-distance / error))

    return p


def from_bootstrap(
    value: float, drawn: np.ndarray, n: int, low: float, high: float, freedom: float = math.inf
) -> Evidence:
    """The claim: the truth is between `low` and `high` (either may be infinite). `drawn` are resampled statistics.

    The interval is Student's with `freedom` degrees (the normal one where they are infinite), around the value itself,
    with the standard deviation of what was drawn: resampling adds noise to a map that has noise already, so its
    quantiles would lie off centre.
    """
    error = float(np.std(drawn, ddof=1))
    finite = math.isfinite(freedom)
    bounds = partial(_around, value, error, freedom)
    p = _p_value(value, error, lambda t: special.stdtr(freedom, t) if finite else special.ndtr(t))
    return Evidence(value, *bounds(1 - LEVEL), n, *_inside(p, low, high), bounds=bounds)


def from_sign(
    value: float,
    n: int,
    sign: Callable[[float], tuple[float, float]],
    freedom: float,
    low: float,
    high: float,
) -> Evidence:
    """The claim: the truth is between `low` and `high` (either may be infinite).

    `sign(threshold)` is the estimate of a number that is above 0 where the truth is above the threshold, and its
    standard error with `freedom` degrees of freedom; both are those of a sum that is linear in the threshold. The
    interval holds the thresholds that are not rejected (Fieller 1954), which may be all.
    """

    def p(threshold: float, side: int) -> float:
        if math.isinf(threshold):
            return float(side * threshold > 0)
        return _p_value(*sign(threshold), lambda t: special.stdtr(freedom, t))(0.0, side)

    def bounds(alpha: float) -> tuple[float, float]:
        t = t_quantile(1 - alpha / 2, freedom)
        below_, at, above_ = (estimate**2 - (t * error) ** 2 for estimate, error in map(sign, (-1.0, 0.0, 1.0)))
        curvature = (below_ + above_) / 2 - at
        if curvature <= 0:
            return -math.inf, math.inf
        first, last = sorted(np.roots([curvature, (above_ - below_) / 2, at]).real)
        return float(first), float(last)

    return Evidence(value, *bounds(1 - LEVEL), n, *_inside(p, low, high), bounds=bounds)


def from_signs(first: Sequence[float], second: Sequence[float]) -> Evidence | None:
    """The claim: of a pair the first value tends to be the smaller. The exact sign test; None where no pair differs.

    The value is the share of pairs, among those that differ, in which it is. A value that is only known to be larger
    than any is infinite; two of them do not differ.

    Args:
        first: a value of each pair.
        second: the other, in the same order.
    """
    less = sum(a < b for a, b in zip(first, second, strict=True))
    more = sum(a > b for a, b in zip(first, second, strict=True))
    n = less + more
    if n == 0:
        return None

    def looked(protocol: Protocol) -> Evidence:
        def grown(count: int) -> tuple[float, float]:
            some, rest = less / n * count, more / n * count
            return 1 / max(1.0, sign_e_value(some, rest)), 1 / max(1.0, sign_e_value(rest, some))

        return Evidence(less / n, *sign_sequence(less, more, protocol.alpha), n, *grown(n), grown=grown)

    bounds = partial(sign_interval, less, more)
    return Evidence(less / n, *bounds(1 - LEVEL), n, *sign_test(less, more), looked, bounds=bounds)


def jointly(shown: Evidence, *others: Evidence) -> Evidence:
    """The claim: all of these hold. Against it speaks the best of them, times their number; `shown` gives the value."""
    return _combined((shown, *others), lambda p: min(1.0, len(p) * min(p)))


def everywhere(own: Evidence, *others: Evidence) -> Evidence:
    """What holds in all of these, or in none: either verdict has to stand everywhere; `own` gives the value.

    So the p-values are the worst of all (an intersection-union test, Berger 1982).
    """
    return _combined((own, *others), max)


def _combined(parts: Sequence[Evidence], against: Callable[[Sequence[float]], float]) -> Evidence:
    """The first with the worst p-value of all parts, and what `against` makes of theirs against the claim.

    What is looked at after every replicate is all of the parts, so that goes for `looked` and `grown` too.
    """

    def looked(protocol: Protocol) -> Evidence:
        return _combined([part.looked(protocol) for part in parts if part.looked is not None], against)

    def grown(n: int) -> tuple[float, float]:
        null, claim = zip(*(part.grown(n) for part in parts if part.grown is not None), strict=True)
        return max(null), against(claim)

    return replace(
        parts[0],
        against_null=max(part.against_null for part in parts),
        against_claim=against([part.against_claim for part in parts]),
        looked=looked if all(part.looked is not None for part in parts) else None,
        grown=grown if all(part.grown is not None for part in parts) else None,
    )
