"""What a difference between two arms means: `verdict(...)`, the words of the tables.

'lower', 'higher' or 'equal'; 'undecided' with the reason where it is not the interval; 'no verdict' with the reason
where there could be none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.analysis.blocks import Block
from runner.analysis.protocol import REPLICATES, Protocol
from runner.analysis.select import NONE_BETTER
from runner.analysis.statistics import Estimate, wilson
from runner.analysis.study_results import ArmResult

if TYPE_CHECKING:
    import pandas as pd

ALL_FAILED = "all final runs failed"
OPTIMISTIC = "selected and reported on the same seeds: optimistic"
EDGE = "undecided (on the grid's edge)"
ONE_REPLICATE = "no verdict (one replicate)"


def verdict(block: Block, result: ArmResult, reference: ArmResult, difference: Estimate, protocol: Protocol) -> str:
    """The verdict on an arm beside its reference.

    One search on one split is one draw of noise that no interval over seeds knows of, so it decides nothing about
    optimizers. A verdict needs a validation split, fresh seeds for both arms (unless there was one cell, so nothing to
    select), all of their runs, and of an arm that is not ahead an inner cell that is best in the mean over all
    replicates.

    Args:
        block: of both.
        result: of the arm.
        reference: of the arm that it is compared with.
        difference: of their reported errors or losses, over replicates, with the interval that it is judged by.
        protocol: of the study.
    """
    if block.measure.on_test:
        return "no verdict (selected on test)"
    if not (result.replicates and reference.replicates):
        return ONE_REPLICATE
    pair = (result, reference)
    if why := next((why for one in pair if (why := missing(one, protocol, pair))), ""):
        return f"undecided ({why})"
    if any(OPTIMISTIC in one.remark for one in pair):
        return "undecided (no fresh seeds)"
    if difference.n < REPLICATES:
        plural = "" if difference.n == 1 else "s"
        return f"undecided ({difference.n} replicate{plural}; {REPLICATES} are needed)"
    if not protocol.looks and difference.n < protocol.replicates:
        return f"undecided ({difference.n} of {protocol.replicates} replicates are there)"
    if math.isnan(difference.mean):
        return "undecided (a run has no number)"
    word = decision(difference, reference.values[block.measure.report].mean, protocol) if difference.std > 0 else ""
    if outside({"lower": -1, "higher": 1}.get(word, 0), [result], [reference]):
        return EDGE
    if not word:
        return "undecided (no spread over replicates)"
    if word == "equal" and all(may_guess(block, one) for one in (result, reference)):
        return "undecided (nothing was learned)"
    return word


def missing(result: ArmResult, protocol: Protocol, pair: Sequence[ArmResult] = ()) -> str:
    """Which of the runs that an arm's result is to be made of have no numbers; '' where all do.

    Those of a command that was interrupted may change what is there, and those that failed may not have done so by
    chance. The same command trains both. Replicates repeat one search, so each has as many runs of it; what fails in
    all of them alike is no part of it.

    Args:
        result: of the arm.
        protocol: of the study. Where the number of fresh seeds that were asked for is not known, it counts as the most
            that a replicate has.
        pair: the arms that are compared, whose fresh runs count for that too.
    """
    if ALL_FAILED in result.remark:
        return f"the fresh runs of {result.arm} failed"
    there = "fresh runs" if result.phase == "final" else "runs"
    if result.failed:
        return f"{result.failed} of {result.n + result.failed} {there} of {result.arm} failed"
    if result.replicates and result.rows is not None:
        counts, wanted = _fresh_runs(result), protocol.final_seeds
        if protocol.unknown:
            wanted = max(wanted, *(int(_fresh_runs(one).max()) for one in (result, *pair) if one.rows is not None))
        lacking = int((wanted - counts).clip(lower=0).sum())
        if lacking and (counts.any() or protocol.all_fresh or protocol.unknown):
            return f"{counts.sum()} of {counts.sum() + lacking} fresh runs of {result.arm} are there"
        if gaps := sorted(set(range(max(result.replicates))) - set(result.replicates)):
            return f"{result.arm} has no result in replicate {', '.join(map(str, gaps))}"
    if lacking := len(result.lacking_search):
        return f"the search of {result.arm} lacks runs in {lacking} replicate{'' if lacking == 1 else 's'}"
    return ""


def _fresh_runs(result: ArmResult) -> pd.Series:
    """How many runs of fresh seeds an arm has in each replicate."""
    assert result.rows is not None
    return (result.rows["phase"] == "final").groupby(result.rows["replicate"]).sum()


def outside(side: int, plus: Sequence[ArmResult], minus: Sequence[ArmResult]) -> list[ArmResult]:
    """The arms of which a better cell outside a grid could take back what was found of a difference.

    A better cell has a lower error. So it lowers a difference to which its arm adds, and raises one from which its arm
    is taken: of an arm that is ahead it makes a verdict only more so.

    Args:
        side: where the difference was found to be: -1, below a number; 1, above one; 0, neither, so that both count.
        plus: the arms whose errors it adds; one that is compared is the first.
        minus: the arms whose errors it takes off.

    Returns: those whose best cell is on its grid's edge.
    """
    arms = [*plus, *minus]
    asked = [*(plus if side >= 0 else ()), *(minus if side <= 0 else ())]
    return [arm for arm in asked if arm.edge and not _beside_none(arm, arms)]


def _beside_none(l2: ArmResult, arms: Sequence[ArmResult]) -> bool:
    """Whether this is an L2 whose only edge is that none is better, and is compared with just that: no decay at all."""
    plain = any(arm.family == l2.family and not arm.wd_convention for arm in arms)
    return plain and l2.wd_convention == "l2" and l2.edge == NONE_BETTER


def may_guess(block: Block, result: ArmResult) -> bool:
    """Whether the arm's error may be that of guessing among the classes: two that guess are equal in nothing.

    Guessing among C classes errs in 1 - 1/C of the cases on average. On one test set it errs by more or less, however
    alike the runs are: an arm that always answers with one class errs by that class's share. So the 95 % Wilson
    interval of the mean error over the test set's size counts, and over replicates theirs too.
    """
    error = result.values.get("test_error")
    if block.classes is None or not block.measure.is_error or error is None:
        return False
    highest = [error.high] if result.replicates else []
    if block.test_size and math.isfinite(error.mean):
        highest.append(wilson(error.mean, block.test_size)[1])
    return any(high >= 100 * (1 - 1 / block.classes) for high in highest)


def decision(difference: Estimate, error: float, protocol: Protocol) -> str:
    """What an interval decides where nothing else is in the way: 'lower', 'higher', 'equal' or 'undecided'.

    Args:
        difference: between an arm and its reference, with the interval that it is judged by.
        error: that of the reference. The margin that is called equal is relative to it, as a point is much where 2 %
            err and little where 60 % do.
        protocol: of the study.
    """
    if not difference.low <= 0 <= difference.high:
        return "lower" if difference.high < 0 else "higher"
    margin = protocol.equal_within / 100 * error
    return "equal" if -margin < difference.low and difference.high < margin else "undecided"
