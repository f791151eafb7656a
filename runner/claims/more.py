"""How much more of a sample would decide what an interval leaves open: `more(...)`, in words."""

from __future__ import annotations

import math

from scipy import special

from runner.analysis.measures import short

REACH = 1000  # times what is there; a number beyond it is no advice


def more(sample: tuple[float, str], alpha: float, *sides: tuple[float, float]) -> str:
    """'about 30 replicates would decide it', if value and spread stayed what they are.

    The normal quantile of a p-value grows with the root of the sample, and a correction for several claims is a factor
    that the larger sample must overcome too.

    Args:
        sample: how many there are, and what they are: (8, 'replicates').
        alpha: one-sided level.
        sides: for each of the two verdicts the p-value against its opposite, alone and corrected.
    """
    count, what = sample
    wanted = [
        count * float(special.ndtri(alpha * p / corrected) / special.ndtri(p)) ** 2
        for p, corrected in sides
        if 0 < p < 0.5  # else the value is on the other side
    ]
    if not wanted or min(wanted) > REACH * count:
        return f"no number of {what} in reach would decide it"
    needed = math.ceil(min(wanted))
    digits = max(0, len(str(needed)) - 2)  # an extrapolation is good to two
    return f"about {round(needed, -digits)} {what} would decide it, {short(count)} are there"
