"""What the claims share that pair a handful of values: when there are too few, and differences in percent."""

from __future__ import annotations

from collections.abc import Mapping

from runner.analysis.exact import ONE_SIDED, fewest


def few(n: int, what: str) -> str:
    """Why n paired values decide nothing; '' where they may.

    Of fewer than six even the test that assumes nothing, by their signs, cannot reach the level, and what a t test says
    of so few rests on its assumption that they are normal.
    """
    if n >= fewest():
        return ""
    return f"{n} {what}: no exact test of so few reaches {100 * ONE_SIDED:g} %; {fewest()} are needed"


def percent_of(a: Mapping[int, float], reference: Mapping[int, float]) -> list[float]:
    """a minus the reference, in percent of the reference's mean, for the units that both have.

    A relative difference can be set beside that of another task, as points cannot.
    """
    common = sorted(a.keys() & reference.keys())
    mean = sum(reference[unit] for unit in common) / max(1, len(common))
    return [round(100 * (a[unit] - reference[unit]) / mean, 9) for unit in common] if mean > 0 else []


def percents(a: str, reference: str) -> str:
    """How a statistic made by `percent_of` is called."""
    return f"{a} minus {reference} in percent of the latter's mean"
