"""A difference in percent of what it is to: `ours(...)`, and beside it the paper's own, `papers(...)`.

Points of CIFAR-10 say nothing beside points of other data, where other shares of the images are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from runner.analysis import paper
from runner.analysis.measures import number
from runner.analysis.study_results import ArmResult, BlockResults


def relative(error: float, reference: float) -> float:
    """100 * (error / reference - 1), in percent; nan where there is no reference, or it is 0."""
    return 100 * (error / reference - 1) if reference > 0 else math.nan


def papers(results: BlockResults, error: float, reference: float) -> str:
    """What the paper has for `error` minus `reference`, both read off its figures of CIFAR-10, in percent.

    '-1.0 points (from 4.8 to 3.8 %)' on its data, and '-21 % (from 4.8 to 3.8 %)' on others.
    """
    if on_its_data(results):
        value = f"{number(error - reference, 1, True)} points"
    else:
        value = f"{number(relative(error, reference), 0, True)} %"
    return f"{value} ({between(error, reference)})"


def between(error: float, reference: float) -> str:
    """'from 4.8 to 3.8 %'."""
    return f"from {reference} to {error} %"


def on_its_data(results: BlockResults) -> bool:
    """Whether a difference in points may stand beside the paper's: those that are used here are all of CIFAR-10."""
    return results.block.settings["dataset"] == paper.DATASET


def mean_change(errors: Mapping[int, float], rivals: Mapping[int, float]) -> float:
    """`relative` of the means over the units that both have; nan where they have none."""
    units = errors.keys() & rivals.keys()
    a, b = (math.fsum(one[unit] for unit in units) / max(1, len(units)) for one in (errors, rivals))
    return relative(a, b)


def ours(results: BlockResults, arm: ArmResult, rival: ArmResult) -> str:
    """How much an arm's error differs from a rival's, as the paper gives it: '-30 % of Adam + L2's error'.

    '' where either has none.
    """
    measure = results.block.measure
    change = mean_change(arm.by_unit(measure.report), rival.by_unit(measure.report))
    return f"{number(change, 0, True)} % of {rival.arm}'s {measure.kind}" if math.isfinite(change) else ""
