"""A finer grid around each arm's best cell: `refinements(folder, search, before)` has the trials of one round.

`most(folder, search)` says how many a round can have, before the cells that are best are known.

A grid that steps by octaves may straddle a narrow valley, and one arm's winner then lies nearer to the bottom than
another's by luck. A round adds the cells half-way to the winner's neighbours, with the seeds of the search. Their rows
have the phase `refine`: they may win, but they are no part of the map, which shows the grid that was laid down before.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.finalists import blocks_of, rebuilt
from runner.trials.older import as_on_record
from runner.trials.trial import Trial, unique

if TYPE_CHECKING:
    from runner.analysis.choice import Cell


def refinements(folder: Path, search: Mapping[str, Trial], before: Collection[str]) -> dict[str, Trial]:
    """The trials of one more round, by id; none where the neighbours of all winners are as good but for noise.

    It depends on the rows of the search and of the rounds before alone, so a command that goes on asks for the same.

    Args:
        folder: of the study.
        search: trials of its search, by id; all of them have ended.
        before: ids of the trials of the rounds before.
    """
    from runner.analysis.blocks import replicates
    from runner.analysis.select import choices, runs

    trials: list[Trial] = []
    for block in blocks_of(folder, search, planned=False):
        for part in replicates(block).values():
            kept = (part.rows["phase"] == "search") | part.rows["trial"].isin(list(before))
            part = replace(part, rows=part.rows[kept])
            rows: dict[str, dict[Any, Any]] = {str(row["trial"]): row for row in part.rows.to_dict("records")}
            like = next((search[key] for key in rows if key in search), None)
            for arm, choice in choices(part).items() if like else ():
                winner, cells = choice.winner, [cell for cell in runs(part)[arm] if cell.hyper == choice.winner.hyper]
                trial = rebuilt(rows[winner.runs[choice.seeds[0]].trial], like) if like else None
                if trial is not None and not as_good(winner, cells):
                    trials += [
                        replace(trial, lr=lr, wd=wd, seed=seed)
                        for lr, wd in around(winner, cells)
                        for seed in winner.runs
                    ]
    return as_on_record(folder, unique(trials))


def most(folder: Path | None, search: Mapping[str, Trial]) -> int:
    """The most trials that one round can add: two neighbours along each axis that has several values, and diagonals.

    Args:
        folder: of the study, or None for one without rows.
        search: trials of its search, by id.
    """
    from runner.analysis.blocks import replicates

    count = 0
    for block in blocks_of(folder, search, planned=True):
        for part in replicates(block).values():
            rows = part.rows[part.rows["trial"].isin(list(search))]
            for _, arm in rows.groupby("arm"):
                lrs, wds = (3 if arm.loc[arm[axis] > 0, axis].nunique() > 1 else 1 for axis in ("lr", "wd"))
                count += (lrs * wds - 1) * arm["seed"].nunique()
    return count


def around(winner: Cell, cells: Collection[Cell]) -> list[tuple[float, float]]:
    """(lr, wd) half-way, on a logarithmic scale, from the winner to its neighbours along each axis and diagonally.

    On the edge of the grid there is no neighbour beyond, and along an axis of one value there is none at all.
    """
    lrs = _between(winner.lr, {cell.lr for cell in cells})
    wds = _between(winner.wd, {cell.wd for cell in cells})
    return [pair for pair in product([winner.lr, *lrs], [winner.wd, *wds]) if pair != (winner.lr, winner.wd)]


def _between(value: float, axis: Collection[float]) -> list[float]:
    """Four digits, so that a value has one spelling."""
    lower = max((other for other in axis if 0 < other < value), default=None)
    upper = min((other for other in axis if other > value > 0), default=None)
    return [float(f"{math.sqrt(value * other):.4g}") for other in (lower, upper) if other is not None]


def as_good(winner: Cell, cells: Collection[Cell]) -> bool:
    """Whether every neighbour of the winner is within twice the standard error of the difference of two cells.

    Neighbours are the nearest cells along each axis. False where there are too few seeds to know the noise.
    """
    from runner.analysis.neighbours import neighbours

    near = neighbours(winner, cells)
    known = [cell for cell in (winner, *near) if len(cell.runs) > 1]
    if not near or len(known) <= len(near):
        return False
    freedom = sum(len(cell.runs) - 1 for cell in known)
    squares = sum(_squares([run.score for run in cell.runs.values()]) for cell in known)
    seeds = winner.runs.keys()
    error = math.sqrt(2 * squares / freedom / len(seeds))
    best = sum(run.score for run in winner.runs.values()) / len(seeds)
    return all(
        sum(run.score for run in cell.runs.values()) / len(cell.runs) - best <= 2 * error for cell in near if cell.runs
    )


def _squares(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)
