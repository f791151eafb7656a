"""Trials of one shape into stacks, on the CPU: `packed(trials, most, workers, exact)` is the call to know.

Every slot of a stack is computed, filled or not (`stack_size.slots`). So stacks are filled; the last, if it
cannot be, is a loose one, which has no empty slots, and a single trial has ordinary layers: these round otherwise than
a full stack, each in its own way. With `exact` all trials are computed as in a full stack, whatever their number, and
end in the same bits in any; a single trial then pays for up to 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from optim.arithmetic import ceil_div
from runner.config.settings import FULL, LANES, LOOSE, UNSTACKED
from runner.models.settings import ModuleSettings, TransformerSettings
from runner.trials.stack_size import alone, unit
from runner.trials.trial import Trial


def packed(trials: Sequence[Trial], most: int, workers: int, exact: bool) -> list[list[Trial]]:
    """Stacks of `trials`, at most `most` in each, shared out to `workers` evenly (0: as few stacks as there can be)."""
    first = trials[0]
    if isinstance(first.model, ModuleSettings):  # of which stacks of any size from two round alike
        filled = _filled(trials, most, workers, 1)
        return [[trial.computed(FULL if exact or stack[1:] else LANES) for trial in stack] for stack in filled]
    if alone(first.model, first.batch_size, first.positions):
        return [[trial.computed(FULL if exact else UNSTACKED)] for trial in trials]
    stacks: list[list[Trial]] = []
    for stack in _filled(trials, most, workers, unit(first.model)):
        way = FULL if exact else _way(len(stack), unit(first.model))
        if not exact and first.batch_size == 1 and _few(len(trials), len(stack), way, first):
            stacks += [[trial.computed(UNSTACKED)] for trial in stack]
        else:
            stacks.append([trial.computed(way) for trial in stack])
    return stacks


def _few(trials: int, stacked: int, way: str, like: Trial) -> bool:
    """Whether networks alone are faster with batches of one example, where convolutions gain from four trials on.

    What decides is the same for any number of workers.
    """
    return not isinstance(like.model, TransformerSettings) and (trials < 4 or (way == LOOSE and stacked == 2))


def _way(count: int, unit: int) -> str:
    if count == 1:
        return UNSTACKED
    return LOOSE if count % unit else FULL


def _filled(trials: Sequence[Trial], most: int, workers: int, unit: int) -> list[list[Trial]]:
    """Stacks of whole units, or of pairs where `most` has no room for a unit, and one of what is left over.

    So the way of a trial does not depend on the number of workers.
    """
    size = min(max(2, unit) if most >= unit else 2, most)
    blocks = len(trials) // size
    count = ceil_div(blocks, most // size)
    if workers:  # every worker gets as many stacks as the others
        count = min(blocks, ceil_div(count, workers) * workers)
    edges = [blocks * i // count * size for i in range(count + 1)] if blocks else [0]
    return [list(trials[i:j]) for i, j in pairwise([*edges, len(trials)]) if i < j]
