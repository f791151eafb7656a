"""Says where an arm's cells have different seeds, and what that does to the selection: `ragged(block)`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from runner.analysis.blocks import Block
from runner.analysis.choice import Cell, Choice
from runner.analysis.measures import short
from runner.analysis.select import choices, runs, seeds_text

_NAMED = 3  # cells that a line names; of more it gives the number


def ragged(block: Block) -> list[str]:
    """One line for each kind of gap in each arm; none where all its cells have the same seeds.

    Names the seeds that are left out and the cells that have or lack them, a winner that lacks some, a circle, and
    arms that were searched with different seeds.
    """
    chosen, cells = choices(block), runs(block)
    lines = [line for arm, choice in chosen.items() for line in _of_arm(arm, choice, cells[arm])]
    if len({choice.shared for choice in chosen.values()}) > 1:
        each = "; ".join(f"{arm} {seeds_text(choice.shared)}" for arm, choice in chosen.items())
        lines.append(f"the arms were searched with different seeds ({each}); differences are over those in common")
    return lines


def _of_arm(arm: str, choice: Choice, cells: Sequence[Cell]) -> list[str]:
    shared, best, usable = set(choice.shared), choice.winner, [cell for cell in cells if cell.runs]
    others = [cell for cell in usable if cell.name != best.name]
    apart = [cell for cell in others if not any(cell is not other and cell.common(other) for other in usable)]
    more: dict[tuple[int, ...], list[Cell]] = {}
    less: dict[tuple[int, ...], list[Cell]] = {}
    for cell in usable:
        if cell in apart:
            continue
        for by_seeds, seeds in ((more, cell.runs.keys() - shared), (less, shared - cell.runs.keys())):
            if seeds:
                by_seeds.setdefault(tuple(sorted(seeds)), []).append(cell)
    served = sum(cell.runs.keys() >= shared for cell in usable)
    lines: list[str] = []
    kept = f"{_seeds(choice.shared)}, which {served} of {len(cells)} cells have"
    for extra, having in _few(more):
        lines.append(f"{arm}: {_seeds(extra)} left out at {_where(having)}; selected on {kept}")
    for missing, lacking in _few(less):
        lines.append(f"{arm}: {_seeds(missing)} missing at {_where(lacking)}; compared on the seeds in common")
    if apart:
        alone = sorted({seed for cell in apart for seed in cell.runs})
        lines.append(f"{arm}: {_seeds(alone)} left out at {_where(apart)}: no other cell has them, nothing to compare")
    if unseen := sorted(shared - best.runs.keys()):
        lines.append(
            f"{arm}: the best cell ({_place(best)}) won on {_seeds(choice.seeds)} alone; seed="
            f"{','.join(map(str, unseen))} for it makes that sure"
        )
    if choice.circle:
        lines.append(f"{arm}: cells beat one another in a circle on the seeds in common; decided by {kept}")
    return lines


def _few(gaps: dict[tuple[int, ...], list[Cell]]) -> list[tuple[tuple[int, ...], list[Cell]]]:
    """By seeds; more than two kinds of gaps as one."""
    if len(gaps) <= 2:
        return sorted(gaps.items())
    return [(tuple(sorted({*chain(*gaps)})), [*chain(*gaps.values())])]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {seeds_text(seeds)}"


def _place(cell: Cell) -> str:
    return f"lr {short(cell.lr)}, wd {short(cell.wd)}" + (f", {cell.hyper}" if cell.hyper else "")


def _where(cells: Sequence[Cell]) -> str:
    ordered = sorted(cells, key=lambda cell: (cell.lr, cell.wd, cell.hyper))
    return "; ".join(map(_place, ordered)) if len(cells) <= _NAMED else f"{len(cells)} cells"
