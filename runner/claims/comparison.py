"""Two arms compared for a claim: `compared(...)` makes it, `obstacle` says what forbids the comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from runner.analysis.measures import number
from runner.analysis.primary import primary
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import OPTIMISTIC, may_guess, missing
from runner.claims.claim import SEEDS, Claim, on_edge
from runner.claims.evidence import Evidence, apart, no_higher, no_lower
from runner.claims.few import ONE_REPLICATE, few

# The tests that ask for a margin, and what they ask.
ASK = {apart: "equal within {}", no_higher: "not higher by {}", no_lower: "not lower by {}"}


def by_unit(results: BlockResults, arm: ArmResult) -> dict[int, float]:
    """The number that the arm is compared by, for each replicate, or for each seed of the only one."""
    return arm.by_unit(results.block.measure.report)


def differences(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """a - b for the replicates, or seeds, that both have."""
    return [round(a[unit] - b[unit], 9) for unit in sorted(a.keys() & b.keys())]


def gap(results: BlockResults, arm: ArmResult, other: ArmResult) -> list[float]:
    """The differences between two arms of one block."""
    return differences(by_unit(results, arm), by_unit(results, other))


def compared(
    id: str,
    name: str,
    results: BlockResults,
    arms: tuple[ArmResult, ArmResult],
    test: Callable[..., Evidence | None],
    **more: Any,
) -> Claim:
    """A claim about the difference between the best cells of two arms of a block.

    Args:
        id: of the claim.
        name: what it says.
        results: the block's.
        arms: the first minus the second is tested.
        test: makes the evidence of the differences by replicate; those of ASK are given the margin too.
        more: further fields of the claim.
    """
    first, second = arms
    far, note, why = gap(results, first, second), "", obstacle([(results, arm) for arm in arms])
    if test in ASK:  # the others only ask for the sign of a difference
        margin, digits = margin_of(results, second), results.block.measure.digits
        note = f"; {ASK[test].format(number(margin, digits))}, {share(results)}"
        test = partial(test, margin=margin)
        if not why and all(may_guess(results.block, arm) for arm in arms):
            why = "nothing was learned"  # two that guess are equal in nothing
    return Claim(
        id,
        name,
        f"{results.block.measure.report_name}, {first.arm} minus {second.arm} ({results.unit}{note})",
        test(far),
        (results,),
        why,
        plus=(first,),
        minus=(second,),
        table=_of_table(results, first, second),
        **more,
    )


def _of_table(results: BlockResults, first: ArmResult, second: ArmResult) -> Estimate | None:
    """The difference as the table judges it, where it is the primary one of the block, whichever arm it takes off."""
    main = primary(results)
    if main is None or main.difference is None or {main.arm, main.reference} != {first.arm, second.arm}:
        return None
    found = main.difference.difference
    return found if main.arm == first.arm else replace(found, mean=-found.mean, low=-found.high, high=-found.low)


def margin_of(results: BlockResults, arm: ArmResult) -> float:
    """What is called equal: a share of the arm's error or loss, in its unit; nan where it has none."""
    values = list(by_unit(results, arm).values())
    return results.protocol.equal_within / 100 * (sum(values) / len(values) if values else math.nan)


def share(results: BlockResults) -> str:
    """'5 % of the latter\'s'."""
    return f"{results.protocol.equal_within:g} % of the latter's"


def gain(results: BlockResults) -> tuple[dict[int, float], tuple[ArmResult, ArmResult]] | None:
    """By replicate how much lower AdamW's error is than that of Adam + L2, and (L2, AdamW); None without both."""
    twins = results.twins()
    if twins is None:
        return None
    l2, decoupled = (by_unit(results, arm) for arm in twins)
    return {unit: l2[unit] - decoupled[unit] for unit in l2.keys() & decoupled.keys()}, twins


def obstacle(
    pairs: Sequence[tuple[BlockResults, ArmResult]],
    searched: bool = True,
    inner: bool = False,
) -> str:
    """What forbids a comparison of these arms' bests, whatever comes out; '' where nothing does.

    Args:
        pairs: the arms, each with its block.
        searched: each must have had a grid.
        inner: each best cell must lie within its grid. Else the claim has to say by `plus` and `minus` which verdict a
            better cell outside could take back.
    """
    for results, arm in pairs:
        if results.block.measure.on_test:
            return "selected on test"
        if not arm.phase:
            return f"{arm.arm} has no result ({arm.remark})"
        if why := missing(arm, results.protocol):
            return why
        if OPTIMISTIC in arm.remark:
            return f"{arm.arm} has no fresh seeds (final_seeds={SEEDS})"
        if searched and arm.wd_convention and "wd" in arm.not_searched.split():
            return f"{arm.arm} was tried with one weight decay only"
        if inner and arm.edge:
            return on_edge(arm)
        if arm.diverged and not results.block.measure.is_error:
            return f"{arm.diverged} runs of {arm.arm} diverged, and have no loss"
    if not all(arm.replicates for _, arm in pairs):
        return ONE_REPLICATE
    common = set.intersection(*(set(by_unit(results, arm)) for results, arm in pairs))
    return few(len(common), "common replicates", pairs[0][0].protocol)
