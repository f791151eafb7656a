"""Selection by the other measure: by validation loss where the error chooses, by error where the loss does (text).

`second_protocol(results)` gives what each arm reaches then, from the same rows. `chosen_by(block, "loss")` is the block
whose cells are judged so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.analysis.blocks import Block, per_block
from runner.analysis.results import results
from runner.analysis.statistics import Estimate, paired
from runner.analysis.study_results import ArmResult, BlockResults

LOSS, ERROR = KINDS = ("loss", "error")


@dataclass(frozen=True, eq=False)
class SecondProtocol:
    """An arm's result by either choice, by its label; both were reported by the same rules.

    Args:
        results: by the first choice.
        kind: what the second chooses by: 'loss' or 'error'.
        first: each arm's result by the first choice.
        second: by the second.
    """

    results: BlockResults
    kind: str
    first: Mapping[str, ArmResult]
    second: Mapping[str, ArmResult]

    @property
    def kinds(self) -> tuple[str, str]:
        """What the first chooses by, and the second."""
        return (ERROR if self.kind == LOSS else LOSS), self.kind

    def same(self, arm: str) -> bool:
        """Whether both report the same runs of the arm: they have chosen the same cell in every replicate."""
        one, other = self.first[arm].rows, self.second[arm].rows
        return one is not None and other is not None and set(one["trial"]) == set(other["trial"])

    def difference(self, chosen: Mapping[str, ArmResult], arm: str, column: str) -> Estimate:
        """The arm minus its reference, both by one choice, with the interval that differences are judged by."""
        one, reference = chosen[arm], self.first[arm].reference
        other = chosen[reference].by_unit(column) if reference != arm and reference in chosen else {}
        found = paired(one.by_unit(column), other).difference
        return self.results.protocol.judged(found) if one.replicates else found

    def side(self, chosen: Mapping[str, ArmResult], arm: str) -> int | None:
        """Of 0 that the interval of the arm's difference lies on: -1, 1, or 0 where it holds 0; None without one.

        There is none where runs of the search stand for fresh seeds: they flatter what they have chosen.
        """
        reference = self.first[arm].reference
        if any(chosen[one].phase != "final" for one in (arm, reference) if one in chosen):
            return None
        interval = self.difference(chosen, arm, self.results.block.measure.report)
        if not math.isfinite(interval.half):
            return None
        return (interval.low > 0) - (interval.high < 0)


def chosen_by(block: Block, kind: str) -> Block:
    """The block with winners chosen by 'loss' or 'error', and the other in case of a tie; itself if it is so."""
    measure = block.measure
    if measure.select.endswith(kind):
        return block
    return replace(block, measure=replace(measure, select=measure.tie, tie=measure.select))


def second_protocol(one: BlockResults) -> SecondProtocol | None:
    """What each arm reaches by the other choice; None where nothing was chosen: no arm has more than one cell."""
    if all(arm.cells <= 1 for arm in one.arms):
        return None
    kind = LOSS if one.block.measure.select.endswith(ERROR) else ERROR
    second = {arm.arm: arm for arm in _otherwise(one.block).arms}
    return SecondProtocol(one, kind, {arm.arm: arm for arm in one.arms}, second)


@per_block
def _otherwise(block: Block) -> BlockResults:
    return results(chosen_by(block, LOSS if block.measure.select.endswith(ERROR) else ERROR))
