"""Says which arms learned nothing: `at_chance(results)`.

A table of winners reads the same whether networks were trained or not. Where the best cell of an arm answers no better
than somebody who guesses, no choice of lr and wd was compared with another, only noise with noise.
"""

from __future__ import annotations

from runner.analysis.measures import number
from runner.analysis.study_results import BlockResults
from runner.analysis.verdict import may_guess


def at_chance(results: BlockResults) -> list[str]:
    """A line that names the arms whose test error may be that of guessing; none where all have learned something.

    `runner.analysis.verdict.may_guess` says which may be guessing. Arms all of whose runs diverged are left
    to their own note.
    """
    classes = results.block.classes
    if classes is None or not results.block.measure.is_error:
        return []
    chance = 100 * (1 - 1 / classes)
    guessing = [
        arm.arm for arm in results.arms if arm.values and arm.diverged < arm.n and may_guess(results.block, arm)
    ]
    if not guessing:
        return []
    return [
        f"{'; '.join(guessing)}: no better than guessing among {classes} classes ({number(chance)} %), so "
        "nothing was learned; train longer, or search other rates and batch sizes"
    ]
