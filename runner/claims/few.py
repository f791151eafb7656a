"""What the claims share that average over a handful of units: when there are too few, and differences in percent."""

from __future__ import annotations

from collections.abc import Mapping

from runner.analysis.protocol import ONE, REPLICATES, Protocol

ONE_REPLICATE = f"one replicate decides nothing about optimizers (replicates={2 * REPLICATES})"


def few(n: int, what: str, protocol: Protocol = ONE) -> str:
    """Why n values decide nothing by a t test; '' where they may.

    It is the same number for all of them, and that of a verdict between best cells. With fewer replicates the error
    rates of scripts/error_rates have not been measured. Over the seeds of one cell in one split, of which only claims
    about what happens within networks and about a multiplied loss are made, a t test of four is as right as one of ten.
    Of a number that was fixed beforehand all must be there: whoever stops
    sooner could have looked.

    Args:
        n: how many there are.
        what: they are called.
        protocol: of the study, where they are its replicates.
    """
    if n < REPLICATES:
        return f"{n} {what}; {REPLICATES} are needed"
    if not protocol.looks and n < protocol.replicates:
        return f"{n} of {protocol.replicates} {what} are there"
    return ""


def of_replicates(n: int, protocol: Protocol) -> str:
    """Why n replicates decide nothing about optimizers; '' where they may.

    With one, an interval is over the seeds of one search in one split: it describes these maps and not the optimizers.
    """
    return ONE_REPLICATE if n == 1 else few(n, "common replicates", protocol)


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
