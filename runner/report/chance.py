"""Says which arms learned nothing: `at_chance(block, found)`.

A table of winners reads the same whether networks were trained or not. Where the best cell of an arm answers no better
than somebody who guesses, no choice of lr and wd was compared with another, only noise with noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.analysis.arms import Block
from runner.analysis.measures import number
from runner.analysis.results import ArmResult


def at_chance(block: Block, found: Sequence[ArmResult]) -> list[str]:
    """A line that names the arms whose test error may be that of guessing; none where all have learned something.

    Guessing among C classes errs in 1 - 1/C of the cases. An arm may be guessing where the 95 % Wilson interval of its
    mean test error, over the test set's size, reaches that. Arms all of whose runs diverged are left to their own note.
    """
    if block.classes is None or not block.measure.is_error:
        return []
    chance = 100 * (1 - 1 / block.classes)
    guessing = [one.arm for one in found if one.values and one.diverged < one.n and one.sampling[1] >= chance]
    if not guessing:
        return []
    return [
        f"{'; '.join(guessing)}: no better than guessing among {block.classes} classes ({number(chance)} %), so "
        "nothing was learned; train longer, or search other rates and batch sizes"
    ]
