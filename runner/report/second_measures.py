"""What else the reported runs were measured by: loss, calibration, Brier score, top-5: `table(results)` for readers.

These measures are exploratory: each has its interval and its difference to the reference, and none has a verdict.
`columns(results, arm)` is what generalization.csv says of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.analysis.statistics import Estimate, estimate, paired
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.estimates import bounds, percent, with_interval
from runner.report.notes import heads
from runner.report.table import Table


@dataclass(frozen=True)
class Second:
    """A column of trials.csv, what tables call it, and its decimals there."""

    column: str
    name: str
    digits: int


# Errors come second where the loss comes first, as for text.
SECOND = (
    Second("test_error", "test error (%)", 2),
    Second("test_loss", "test loss (nats)", 4),
    Second("test_ece", "calibration error (%)", 2),
    Second("test_brier", "Brier score (0 to 2)", 4),
    Second("test_top5_error", "top-5 error (%)", 2),
)


def difference(results: BlockResults, arm: ArmResult, column: str) -> Estimate:
    """The arm minus its reference, paired as the main comparison is; of no pair for the reference itself."""
    others = [other for other in results.arms if other.arm == arm.reference != arm.arm]
    found = paired(arm.by_unit(column), others[0].by_unit(column) if others else {}).difference
    return results.protocol.judged(found) if arm.replicates else found


def columns(results: BlockResults, arm: ArmResult) -> dict[str, object]:
    """`<column>_difference` of each second measure, with its standard deviation, bounds and number of pairs."""
    cells: dict[str, object] = {}
    for second in SECOND:
        name, value = f"{second.column}_difference", difference(results, arm, second.column)
        cells |= bounds(name, value) | {f"{name}_pairs": value.n}
    return cells


def table(results: BlockResults) -> Table | None:
    """One row per measure and arm; None where the runs have none of them."""
    rows = []
    for second in SECOND:
        if second.column == results.block.measure.report:
            continue
        found = {arm.arm: estimate(arm.by_unit(second.column).values()) for arm in results.arms}
        if not any(math.isfinite(value.mean) for value in found.values()):
            continue
        rows += [
            [
                arm.arm,
                second.name,
                with_interval(found[arm.arm], second.digits),
                with_interval(difference(results, arm, second.column), second.digits, sign=True),
                f"{found[arm.arm].n} {arm.unit}s" + (" (of the search)" if arm.phase == "search" else ""),
            ]
            for arm in results.arms
            if found[arm.arm].n
        ]
    header = ("arm", "measure", "mean [95 %]", f"{heads(results)[0]} [{percent(results.level)}]", "n")
    remark = results.block.measure.remark
    return Table("Second measures" + (f" ({remark})" if remark else ""), header, rows, words=(1,)) if rows else None


def notes(results: BlockResults) -> list[str]:
    """What the table's numbers are, in one line; none without a table."""
    if table(results) is None:
        return []
    return [
        "Second measures are exploratory: no verdict rests on them. Lower is better in all. Calibration error: the "
        "expected one over 15 equal bins of confidence (Guo et al. 2017). Brier score: the sum over classes of squared "
        "differences (Brier 1950). A diverged run has no probabilities, so that an arm with one has no mean."
    ]
