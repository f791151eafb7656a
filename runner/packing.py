"""Trials of one shape into stacks, on the CPU: `packed(trials, most, workers, exact)` is the call to know.

Every slot of a stack is computed, filled or not (`runner.models.sizes.slots`). So stacks are filled, and a trial for
which there is no filled one is marked `unstacked`: it is trained as a stack of one, in ordinary layers without
padding, which round otherwise. With `exact` all trials are computed as in a full stack, whatever their number, and end
in the same bits in any; a single trial then pays for up to 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from runner.models.sizes import alone, pays, unit
from runner.trials import Trial

NOTE = "unstacked"  # in the `note` of a row


def packed(trials: Sequence[Trial], most: int, workers: int, exact: bool) -> list[list[Trial]]:
    """Stacks of `trials`, at most `most` in each, shared out to `workers` evenly (0: as few stacks as there can be)."""
    first = trials[0]
    shape = (first.model, first.batch_size, first.facts.pixels)
    if alone(*shape):
        return [[trial] for trial in trials]
    stacks: list[list[Trial]] = []
    for stack in _filled(trials, most, workers, unit(first.model)):
        full = len(stack) // unit(first.model) * unit(first.model)
        full = full if full > 1 else 0
        if exact or full == len(stack) or pays(*shape, full, len(stack) - full):
            stacks.append(stack)
            continue
        stacks += [stack[:full]] if full else []
        stacks += [[replace(trial, unstacked=True)] for trial in stack[full:]]
    return stacks


def _filled(trials: Sequence[Trial], most: int, workers: int, unit: int) -> list[list[Trial]]:
    """Stacks of one or more whole units, but for the last, where `most` has room for one."""
    size = max(2, unit) if most >= max(2, unit) else 1
    blocks = -(-len(trials) // size)
    count = -(-blocks // (most // size))
    if workers:  # every worker gets as many stacks as the others
        count = min(blocks, -(-count // workers) * workers)
    edges = [min(len(trials), blocks * i // count * size) for i in range(count + 1)]
    return [list(trials[i:j]) for i, j in pairwise(edges)]
