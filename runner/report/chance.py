"""Says which arms learned nothing: `at_chance(results)`.

A table of winners reads the same whether networks were trained or not. Where the best cell of an arm answers no better
than somebody who guesses, no choice of lr and wd was compared with another, only noise with noise.
"""

from __future__ import annotations

from runner.analysis.measures import number
from runner.analysis.study_results import ArmResult, BlockResults


def _highest(arm: ArmResult) -> float:
    """The largest error that its runs leave open: over replicates, or over the one test set's size."""
    return arm.values["test_error"].high if arm.replicates else arm.sampling[1]


def at_chance(results: BlockResults) -> list[str]:
    """A line that names the arms whose test error may be that of guessing; none where all have learned something.

    Guessing among C classes errs in 1 - 1/C of the cases. An arm may be guessing where the 95 % Wilson interval of its
    mean test error, over the test set's size, reaches that. Arms all of whose runs diverged are left to their own note.
    """
    classes = results.block.classes
    if classes is None or not results.block.measure.is_error:
        return []
    chance = 100 * (1 - 1 / classes)
    guessing = [arm.arm for arm in results.arms if arm.values and arm.diverged < arm.n and _highest(arm) >= chance]
    if not guessing:
        return []
    return [
        f"{'; '.join(guessing)}: no better than guessing among {classes} classes ({number(chance)} %), so "
        "nothing was learned; train longer, or search other rates and batch sizes"
    ]
