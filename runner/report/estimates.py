"""An estimate as cells of generalization.csv, and as text: `bounds(name, value)` and `with_interval(value, digits)`."""

from __future__ import annotations

import math

from runner.analysis.measures import NOTHING, number
from runner.analysis.statistics import Estimate


def bounds(name: str, value: Estimate) -> dict[str, object]:
    """The mean under `name`, and beside it its standard deviation and the ends of its interval."""
    return {name: value.mean, f"{name}_std": value.std, f"{name}_low": value.low, f"{name}_high": value.high}


def with_interval(value: Estimate, digits: int, sign: bool = False) -> str:
    """'0.11 [0.10, 0.12]'; only the mean where there is no interval, and '–' where there is no value."""
    if value.n == 0:
        return NOTHING
    if not math.isfinite(value.half):
        return number(value.mean, digits, sign)
    return f"{number(value.mean, digits, sign)} [{number(value.low, digits, sign)}, {number(value.high, digits, sign)}]"
