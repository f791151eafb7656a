"""How many replicates a difference would need, from the noise of those that there are: `needed_replicates(blocks)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from runner.analysis.measures import number
from runner.analysis.primary import primary
from runner.analysis.protocol import Protocol
from runner.analysis.sequential import REPLICATES, confidence_sequence
from runner.analysis.statistics import needed, t_critical
from runner.analysis.study_results import BlockResults

PERCENT = (5, 10, 20)  # relative differences


def needed_replicates(blocks: Sequence[BlockResults]) -> list[str]:
    """A line for each block in which arms are compared, from the spread of the differences; none without rows.

    With `replicates=auto` it is the number at which a single look has this power, so looking on the way needs fewer.
    """
    lines = []
    for results in blocks:
        main = primary(results)
        if main is None or main.difference is None or not main.difference.difference.std > 0:
            continue
        reference = next(arm for arm in results.arms if arm.arm == main.reference)
        error = reference.values[results.block.measure.report].mean
        spread = main.difference.difference.std
        counts = {p: needed(spread, p / 100 * error, _critical(results.protocol)) for p in PERCENT}
        texts = [f"{max(n, REPLICATES) if n else 'more than 1000000'} for {p} %" for p, n in counts.items()]
        where = f" ({results.block.label})" if results.block.label else ""
        n = main.difference.difference.n
        basis = f"the spread over {n} replicates"
        if not results.parts:  # of which that over replicates may be smaller or larger, with several seeds in each
            basis = f"a guess from the spread over {n} seeds of one replicate"
        lines.append(
            f"to find with 80 % power that {main.arm} differs from {main.reference}{where}, by percent of the latter's "
            f"{number(error, results.block.measure.digits)}, takes {', '.join(texts)} replicates ({basis})"
        )
    return lines


def _critical(protocol: Protocol) -> Callable[[int], float]:
    """What |t| must exceed for a verdict, by the number of replicates."""
    if not protocol.looks:
        return partial(t_critical, alpha=1 - protocol.level)
    # |t| at which the confidence sequence leaves 0 out.
    return lambda n: confidence_sequence(1.0, n, protocol.g, 1 - protocol.level) * math.sqrt(n)
