"""The cells beside a winner, and whether the valley that it lies in is narrower than the grid: `narrow(results)`."""

from __future__ import annotations

from collections.abc import Collection

from runner.analysis.choice import Cell, mean
from runner.analysis.measures import number
from runner.analysis.select import choices, runs
from runner.analysis.study_results import BlockResults


def neighbours(winner: Cell, cells: Collection[Cell]) -> list[Cell]:
    """The next cells along each axis, the other value and all other hyperparameters being the winner's."""
    near = []
    for axis, other in (("lr", "wd"), ("wd", "lr")):
        line = [
            cell
            for cell in cells
            if getattr(cell, other) == getattr(winner, other) and cell.hyper == winner.hyper and cell.runs
        ]
        line.sort(key=lambda cell: getattr(cell, axis))
        at = next((i for i, cell in enumerate(line) if cell.name == winner.name), None)
        if at is not None:
            near += [*line[max(0, at - 1) : at], *line[at + 1 : at + 2]]
    return near


def narrow(results: BlockResults) -> list[str]:
    """A line for each arm whose best cell stands so alone that another grid might have changed the comparison.

    Where all its neighbours are worse by more than the difference that is judged, the bottom of the valley may lie
    between two cells, nearer to one arm's grid than to the other's.
    """
    block, lines = results.block, []
    best, searched = choices(block), runs(block)
    for arm in results.arms:
        compared = [one for one in results.arms if one.difference and arm.arm in (one.arm, one.reference)]
        if arm.arm not in best or not compared:
            continue
        winner = best[arm.arm].winner
        excess = []
        for cell in neighbours(winner, searched[arm.arm]):
            if common := winner.common(cell):
                excess.append(mean([cell.runs[s].score - winner.runs[s].score for s in common]))
        judged = min(abs(one.difference.difference.mean) for one in compared if one.difference)
        if len(excess) > 1 and min(excess) > judged:
            least = number(min(excess), block.measure.digits)
            lines.append(
                f"{arm.arm}: the valley is narrower than the grid: the cells beside the best are worse by {least} "
                f"{results.unit} or more, the difference judged is {number(judged, block.measure.digits)} (refine=1)"
            )
    return lines
