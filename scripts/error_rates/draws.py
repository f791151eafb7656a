"""Studies to judge, made from the rows of a real one: `resplit(...)` deals out its runs, `made_up(...)` draws new ones.

Both give, for many studies of R replicates, the difference between two arms that are one and the same. Each arm has its
own search, whose best cell it takes by validation error, and its own fresh seeds of that cell. So the true difference
is exactly 0, and whatever is found is a false verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from runner.analysis.blocks import split
from runner.analysis.choice import Cell, Run, choose
from runner.errors import UserError
from runner.records.read import read
from runner.refine import around, as_good

SEARCH, FRESH = 2, 2  # seeds of each arm in a replicate
_REPORTED = ("val_error", "val_loss", "test_error")


@dataclass(frozen=True, eq=False)
class Runs:
    """Errors in percent of one arm.

    Args:
        arm: its label.
        val: the validation error, [replicates, cells, seeds].
        tie: the validation loss in nats, of the same shape.
        test: the test error, of the same shape.
        at: learning rate and decay of each cell.
    """

    arm: str
    val: np.ndarray
    tie: np.ndarray
    test: np.ndarray
    at: Sequence[tuple[float, float]]

    def laid_down(self) -> Runs:
        """Those of the cells that a search lays down before it refines: every second rate with every second decay."""
        lrs, wds = (sorted(set(values))[::2] for values in zip(*self.at, strict=True))
        kept = [c for c, (lr, wd) in enumerate(self.at) if lr in lrs and wd in wds]
        val, tie, test = (part[:, kept] for part in (self.val, self.tie, self.test))
        return Runs(self.arm, val, tie, test, [self.at[c] for c in kept])


def runs_of(folder: Path) -> list[Runs]:
    """The runs of each arm of a study in which all cells were searched with the same number of seeds per replicate.

    Raises:
        UserError: for another study.
    """
    blocks = split(read(folder))
    if len(blocks) != 1:
        raise UserError(f"{folder}: has {len(blocks)} settings; one is needed, whose arms share their noise")
    (block,) = blocks
    rows = block.rows[(block.rows["phase"] == "search") & (block.rows["status"] == "ok")].sort_values("seed")
    found = []
    for arm in block.arms:
        own = rows[rows["arm"] == arm]
        shape = (own["replicate"].nunique(), own["cell"].nunique(), -1)
        if len(own) % (shape[0] * shape[1]):
            raise UserError(f"{folder}: {arm} lacks runs; every cell needs the same seeds in every replicate")
        own = own.sort_values(["replicate", "cell", "seed"])
        val, tie, test = (own[name].to_numpy(float).reshape(shape) for name in _REPORTED)
        found.append(Runs(arm, val, tie, test, _places(own)))
        if found[-1].val.shape[2] < 2 * (SEARCH + FRESH):
            raise UserError(f"{folder}: needs {2 * (SEARCH + FRESH)} seeds in each cell")
    return found


def _places(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Learning rate and decay of each cell, in the order of the cells' names."""
    of_cell = rows.groupby("cell")[["lr", "wd"]].first()
    return [(float(lr), float(wd)) for lr, wd in of_cell.to_numpy()]


def best(
    val: np.ndarray, tie: np.ndarray, at: Sequence[tuple[float, float]], grid: Sequence[tuple[float, float]] = ()
) -> int:
    """The cell that the program chooses, by its own code.

    Args:
        val: validation errors, [cells, seeds].
        tie: validation losses, of the same shape.
        at: learning rate and decay of each cell.
        grid: with one round of refinement the cells that were laid down before it; empty without, where all were.
    """
    cells = [
        Cell(str(c), *at[c], "", {s: Run(float(v), float(t), False, "") for s, (v, t) in enumerate(runs)})
        for c, runs in enumerate(zip(v, t, strict=True) for v, t in zip(val, tie, strict=True))
    ]
    known = [cell for cell in cells if (cell.lr, cell.wd) in grid] if grid else cells
    winner = _winner(known)
    if grid and not as_good(winner, known):
        near = around(winner, known)
        winner = _winner([*known, *(cell for cell in cells if (cell.lr, cell.wd) in near)])
    return int(winner.name)


def _winner(cells: Sequence[Cell]) -> Cell:
    choice = choose(cells)
    assert choice is not None
    return choice.winner


def resplit(
    runs: Runs,
    studies: int,
    replicates: int,
    rng: np.random.Generator,
    grid: Sequence[tuple[float, float]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Studies whose replicates are real ones: real splits, real runs, dealt out to two arms anew for each study.

    Args:
        runs: of one arm; its cells are those of both arms.
        studies: how many.
        replicates: of each, drawn without repetition.
        rng: for the deals.
        grid: as for `best`.

    Returns: difference and error of the reference, each [studies, replicates].
    """
    total, _, seeds = runs.val.shape
    difference, error = np.empty((studies, replicates)), np.empty((studies, replicates))
    for i in range(studies):
        for k, r in enumerate(rng.permutation(total)[:replicates]):
            dealt = rng.permutation(seeds)
            reached = []
            for hand in (dealt[: SEARCH + FRESH], dealt[SEARCH + FRESH : 2 * (SEARCH + FRESH)]):
                search, fresh = hand[:SEARCH], hand[SEARCH:]
                won = best(runs.val[r][:, search], runs.tie[r][:, search], runs.at, grid)
                reached.append(runs.test[r, won, fresh].mean())
            difference[i, k], error[i, k] = reached[0] - reached[1], reached[1]
    return difference, error


@dataclass(frozen=True, eq=False)
class Noise:
    """Where the errors of runs come from: `mean` [cells] of (val, test), and covariances [2, 2] of their parts."""

    mean: np.ndarray
    of_split: np.ndarray
    of_cell_in_split: np.ndarray
    of_seed: np.ndarray

    def scaled(self, scale: float) -> Noise:
        """The same with so much of each standard deviation."""
        parts = (self.of_split, self.of_cell_in_split, self.of_seed)
        return Noise(self.mean, *(scale**2 * part for part in parts))


def noise_of(runs: Runs) -> Noise:
    """Variance components by the method of moments (Searle, Casella & McCulloch 1992, chapter 4), of (val, test)."""
    y = np.stack([runs.val, runs.test], -1)  # [replicates, cells, seeds, 2]
    replicates, cells, seeds, _ = y.shape
    of_cell = y.mean(2)
    centred = of_cell - of_cell.mean(0)
    split_ = centred.mean(1)
    left = centred - split_[:, None]
    seed = _cov(y - of_cell[:, :, None], replicates * cells * (seeds - 1))
    both = _cov(left, (replicates - 1) * (cells - 1)) - seed / seeds
    of_split = _cov(split_, replicates - 1) - both / cells - seed / seeds / cells
    return Noise(y.mean((0, 2)), _positive(of_split), _positive(both), seed)


def _cov(parts: np.ndarray, freedom: int) -> np.ndarray:
    flat = parts.reshape(-1, 2)
    return flat.T @ flat / freedom


def _positive(covariance: np.ndarray) -> np.ndarray:
    """The nearest covariance, as moments may give a negative variance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def made_up(
    noise: Noise, studies: int, replicates: int, rng: np.random.Generator, search: int = SEARCH, fresh: int = FRESH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Studies with normal noise of these components. Arguments and the first two returns as for `resplit`.

    Returns: also the differences of the single fresh seeds, [studies, replicates, fresh].
    """
    (_, one), (_, other) = made_up_arms(noise, 2, studies, replicates, rng, search, fresh)
    return one.mean(-1) - other.mean(-1), other.mean(-1), one - other


def made_up_arms(
    noise: Noise,
    arms: int,
    studies: int,
    replicates: int,
    rng: np.random.Generator,
    search: int = SEARCH,
    fresh: int = FRESH,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Arms that are one and the same in studies of the same splits.

    Returns: of each arm the validation errors of its search, the mean over `search` seeds, [studies, replicates,
    cells], and the test errors of its best cell with fresh seeds, [studies, replicates, fresh].
    """
    cells, shape = len(noise.mean), (studies, replicates)
    normal = rng.multivariate_normal
    # One split for all arms; how a cell does in it, and each seed, is the arm's own.
    of_split = normal(np.zeros(2), noise.of_split, shape)
    found = []
    for _ in range(arms):
        base = noise.mean + of_split[:, :, None] + normal(np.zeros(2), noise.of_cell_in_split, (*shape, cells))
        searched = base[..., 0] + normal(np.zeros(2), noise.of_seed / search, (*shape, cells))[..., 0]
        of_won = np.take_along_axis(base[..., 1], searched.argmin(-1)[..., None], -1)
        found.append((searched, of_won + normal(np.zeros(2), noise.of_seed, (*shape, fresh))[..., 1]))
    return found
