"""An estimate as cells of generalization.csv, and as text.

`bounds(name, value)` gives the cells, `with_interval(value, digits)` and `half(value, digits)` the text, and
`percent(level)` how an interval is called.
"""

from __future__ import annotations

import math

from runner.analysis.measures import NOTHING, number, short
from runner.analysis.statistics import Estimate


def bounds(name: str, value: Estimate) -> dict[str, object]:
    """The mean under `name`, and beside it its standard deviation and the ends of its interval."""
    return {name: value.mean, f"{name}_std": value.std, f"{name}_low": value.low, f"{name}_high": value.high}


def percent(level: float) -> str:
    """'95 %', '98.33 %': with as many digits as tell the level from 100 %."""
    return f"{short(100 * level, 2 + math.ceil(-math.log10(1 - level)))} %"


def half(value: Estimate, digits: int) -> str:
    """' ± 0.18'; '' where there is no interval, or one without ends, as a confidence sequence begins."""
    return f" ± {number(value.half, digits)}" if value.n > 1 and math.isfinite(value.half) else ""


def with_interval(value: Estimate, digits: int, sign: bool = False) -> str:
    """'0.11 [0.10, 0.12]'; only the mean where there is no interval, and '–' where there is no value."""
    if value.n == 0:
        return NOTHING
    if not math.isfinite(value.half):
        return number(value.mean, digits, sign)
    return f"{number(value.mean, digits, sign)} [{number(value.low, digits, sign)}, {number(value.high, digits, sign)}]"
