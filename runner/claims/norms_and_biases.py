"""Claim 24 of the list: what sparing norms and biases from decay, as is customary, does to the error."""

from __future__ import annotations

from collections.abc import Iterator

from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.claims.claim import Claim
from runner.claims.comparison import compared
from runner.claims.evidence import apart


def claims(study: StudyResults) -> Iterator[Claim]:
    """One row for each block, optimizer and convention that has an arm of both kinds."""
    for results in study.blocks:
        decaying = [arm for arm in results.arms if arm.wd_convention]
        for kind in dict.fromkeys((arm.optimizer, arm.wd_convention) for arm in decaying):
            arms = [arm for arm in decaying if (arm.optimizer, arm.wd_convention) == kind]
            spared = [arm for arm in arms if "decay_params=weights" in arm.hyper.split()]
            rest = [arm for arm in arms if arm not in spared]
            if len(spared) == len(rest) == 1 and max(arm.cells for arm in arms) > 1:
                yield _changes(results, spared[0], rest[0])


def _changes(results: BlockResults, weights: ArmResult, everything: ArmResult) -> Claim:
    return compared(
        "norms-and-biases",
        f"To spare norms and biases changes what {results.block.arm_of[weights.arm].base} reaches",
        results,
        (weights, everything),
        apart,
    )
