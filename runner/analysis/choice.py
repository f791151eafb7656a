"""Which of an arm's cells is best where they have different seeds: `choose(cells)` is the call to know.

Two cells are compared on the seeds that both have, so that neither gains nor loses by having fewer or more of them.
Where all cells have the same seeds that is the smallest mean, and nothing else in here matters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

_MOST = 200  # different sets of seeds whose intersections are tried; with more, only the sets themselves
Key = tuple[float, float, float, float, str]


@dataclass(frozen=True)
class Run:
    """What one seed of a cell is judged by; `tie` is the number that decides between equal scores, `trial` an id."""

    score: float
    tie: float
    diverged: bool
    trial: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One (lr, wd, other hyperparameters) of an arm, with its usable search runs by seed."""

    name: str
    lr: float
    wd: float
    hyper: str
    runs: Mapping[int, Run]

    def common(self, other: Cell) -> tuple[int, ...]:
        return tuple(sorted(self.runs.keys() & other.runs.keys()))

    def key(self, seeds: Iterable[int]) -> Key:
        """What cells are ordered by: mean score over these seeds, mean tie, then the smaller lr, then the smaller wd.

        Means of the same numbers in another order may differ in the last bit: that is a tie. Where nothing converged
        chance is no result, though some networks that learn do worse.
        """
        chosen = [self.runs[seed] for seed in seeds]
        score, tie = mean([run.score for run in chosen]), mean([run.tie for run in chosen])
        if all(run.diverged for run in chosen):
            score = math.inf
        return _order(score), _order(tie), self.lr, self.wd, self.hyper


@dataclass(frozen=True, eq=False)
class Choice:
    """The winner of an arm and what it was compared on.

    `shared` are the seeds that most cells have (see `serving`). `seeds` are those that the winner is scored by: the
    shared ones that it has, or else those that it has in common with the best of the others. `circle`: cells beat one
    another in a circle, so that only the shared seeds could decide.
    """

    winner: Cell
    shared: tuple[int, ...]
    seeds: tuple[int, ...]
    circle: bool = False


def choose(cells: Sequence[Cell]) -> Choice | None:
    """The winner, a function of the set of runs alone; None where no cell has a usable run.

    The best of the cells that have all of the seeds that serve most cells wins, unless a rival is better on the seeds
    that it has in common with that one, and no third cell beats the rival on their common seeds. So a run more can only
    make its own cell win or lose, and only by comparison on equal seeds. (A circle, and cells without a common seed,
    have no best cell: there the shared seeds decide.)
    """
    usable = [cell for cell in cells if cell.runs]
    if not usable:
        return None
    shared = serving(frozenset(cell.runs) for cell in usable)
    base = min((cell for cell in usable if cell.runs.keys() >= set(shared)), key=lambda cell: cell.key(shared))
    rivals = [cell for cell in usable if beats(cell, base)]
    best = [rival for rival in rivals if not any(beats(cell, rival) for cell in usable)]
    if not best:
        return Choice(base, shared, shared, bool(rivals))
    # Several that nobody beats have no seed in common with each other.
    winner = min(best, key=lambda cell: (-len(cell.common(base)), cell.key(cell.common(base))))
    return Choice(winner, shared, tuple(s for s in shared if s in winner.runs) or winner.common(base))


def beats(one: Cell, other: Cell) -> bool:
    """Whether `one` is better on the seeds that both have; False where they have none in common."""
    seeds = one.common(other)
    return one.key(seeds) < other.key(seeds) if seeds else False


def serving(sets: Iterable[frozenset[int]]) -> tuple[int, ...]:
    """The seeds that serve most: the largest number of cells that have all of them, times their own number.

    Ties go to more seeds, then to the smaller ones. () where there is no set.
    """
    count = Counter(sets)
    tried: set[frozenset[int]] = set(count)
    if len(count) <= _MOST:
        tried |= {a & b for a, b in combinations(count, 2)}

    def worth(seeds: frozenset[int]) -> tuple[int, int, list[int]]:
        cells = sum(n for of_cells, n in count.items() if seeds <= of_cells)
        return cells * len(seeds), len(seeds), [-seed for seed in sorted(seeds)]

    best = max(tried, key=worth, default=frozenset[int]())
    return tuple(sorted(best))


def mean(values: Sequence[float]) -> float:
    """NaN where a value is, or where there is none."""
    return math.fsum(values) / len(values) if values else math.nan


def _order(value: float) -> float:
    return math.inf if math.isnan(value) else round(value, 9)
