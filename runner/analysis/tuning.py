"""What a tuning budget buys: the expected error of the best of k random cells. `tuning(block)` is the call to know.

Somebody who can afford k trials draws k of an arm's cells at random, trains each with one seed, and keeps the cell with
the smallest validation error. The curve says what test error that reaches on average (Dodge et al. 2019, "Show Your
Work: Improved Reporting of Experimental Results", section 3). Cells are drawn without replacement, so the mean over all
subsets is exact, and an unbiased estimate for cells drawn from the whole window (Tang et al. 2020, "Showing Your Work
Doesn't Always Work").

* One seed chooses, others report, as Schmidt, Schneider & Hennig (2021, "Descending through a Crowded Valley") train
  the chosen setting again: the error of a cell is the mean over its other search seeds, for the run that was chosen is
  a lucky one. Where cells have one seed only, it is the error of the chosen run itself.
* A diverged run counts as chance, as everywhere; where a loss decides, as infinitely bad.
* Cells without decay have a curve of their own and are in no other: a random search draws the decay on a logarithmic
  scale, where 0 has no place, and the share of the column wd = 0 is a choice of the grid. In the curves of both twins
  its runs would be the same, and only dilute the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from runner.analysis.blocks import Block, per_block, replicates
from runner.analysis.choice import Cell, Run, serving
from runner.analysis.select import choices, runs
from runner.analysis.statistics import LEVEL, t_quantile

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Curve:
    """The tuning-budget curve of an arm for k = 1 to K, the number of its cells. Errors in percent, losses in nats.

    Args:
        arm: its label.
        cells: the K cells that are drawn from.
        seeds: the search seeds of each replicate, S; with 1 the chosen run reports itself.
        replicates: the R replicates of which all cells are there.
        by_replicate: [R, K] the expected error in each of them.
        low: [K] the lower end of the 95 % band, which `band` says more of.
        high: [K] the upper end.
        drawn: [DRAWS, K] the curve with cells and seeds resampled; [0, K] where there are several replicates.
    """

    arm: str
    cells: Sequence[Cell]
    seeds: int
    replicates: tuple[int, ...]
    by_replicate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    drawn: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[K]: over replicates."""
        return np.asarray(self.by_replicate.mean(axis=0))


@dataclass(frozen=True, eq=False)
class Ranked:
    """The n cells of an arm in one replicate, ordered by each of its S seeds.

    Args:
        cells: those that have all of the S seeds.
        rank: [S, n] of each cell by its validation error with this seed; 0 is the best.
        error: [S, n] what is reported of the cell of each rank, in percent or nats.
    """

    cells: Sequence[Cell]
    rank: np.ndarray
    error: np.ndarray


@per_block
def tuning(block: Block) -> list[Curve]:
    """The curve of each arm with two cells or more, in the order of `block.arms`."""
    refined = block.rows["phase"] == "refine"
    if refined.any():  # Cells that were added around a winner are no random ones.
        block = replace(block, rows=block.rows[~refined])
    parts, curves = replicates(block), []
    for stream, arm in enumerate(block.arms):
        found = {number: _searched(part, arm) for number, part in parts.items()}
        names = dict.fromkeys(name for cells in found.values() for name in cells)
        # As cells are compared on shared seeds, replicates are on shared cells: one that is still being searched waits.
        numbers = serving(frozenset(number for number in found if name in found[number]) for name in names)
        shared = [name for name in names if numbers and all(name in found[number] for number in numbers)]
        if len(shared) < 2:
            continue
        chances = best_of(len(shared))
        ranked = [_ranked(parts[number], [found[number][name] for name in shared]) for number in numbers]
        by_replicate = np.array([expected(one.error.mean(axis=0), chances) for one in ranked])
        drawn = resampled(ranked[0], chances, stream) if len(ranked) == 1 else np.empty((0, len(shared)))
        seeds = min(len(one.error) for one in ranked)
        low, high = band(by_replicate, drawn)
        curves.append(Curve(arm, ranked[0].cells, seeds, numbers, by_replicate, low, high, drawn))
    return curves


def best_of(n: int) -> np.ndarray:
    """[n, n]: the chance C(n - 1 - r, k - 1) / C(n, k) that the best of k cells drawn of n has rank r, for k = 1 to n.

    Row r, column k - 1. For rank 0 it is k / n, and from one rank to the next it shrinks by (n - r - k + 1) / (n - r).
    """
    k, r = np.arange(1, n + 1), np.arange(1, n)[:, None]
    return np.vstack([k / n, k / n * np.cumprod(np.maximum(n - r - k + 1, 0) / (n - r), axis=0)])


def expected(error: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """[..., K]: the mean error of what is chosen, of `error` [..., n] by rank and `chances` [n, K] of each rank.

    Infinite where a cell of infinite error may be chosen.
    """
    lost = np.isinf(error)
    mean = np.where(lost, 0.0, error) @ chances
    return np.where(lost @ (chances > 0), np.inf, mean) if lost.any() else np.asarray(mean)


def resampled(searched: Ranked, chances: np.ndarray, stream: int) -> np.ndarray:
    """[DRAWS, K]: the curve of as many cells and seeds as there are, each drawn with replacement.

    Both are drawn because both are samples, by themselves, which is rather too wide than too narrow (Owen 2007, "The
    pigeonhole bootstrap").
    Seeds are drawn alike for all arms, which makes the draws of two arms pairs; cells by a stream of random numbers of
    their own.
    """
    n_seeds, n = searched.error.shape
    seeds = np.random.default_rng(0).multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), DRAWS) / n_seeds
    cells = np.random.default_rng([1, stream]).integers(0, n, (DRAWS, n))
    error = np.zeros((DRAWS, n))
    for rank, by_rank, weight in zip(searched.rank, searched.error, seeds.T, strict=True):
        drawn = by_rank[np.sort(rank[cells], axis=1)]
        error += weight[:, None] * np.where(weight[:, None] > 0, drawn, 0.0)  # 0 times infinity is no number
    return expected(error, chances)


def band(by_replicate: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % band (low, high), each [K], around the mean of `by_replicate` [R, K].

    Of several replicates: Student's t over them, for each k. It covers all that differs from one replicate to another:
    split, seeds, the noise of the choice. Of one: the normal interval with the standard deviation of `drawn` [DRAWS, K]
    (quantiles would lie off centre, because fewer different cells are drawn than there are). It covers other cells of
    the same window and other seeds, but no other split. On made-up searches of 25 to 100 cells with 2 or 3 seeds it
    held the truth in 89 to 96 % where the cells were drawn at random, and in 97 % and more where they were a grid. With
    one seed, whose noise cannot be resampled, it held it in 79 to 94 % at random, for all cells the least often.
    """
    n, mean = len(by_replicate), by_replicate.mean(axis=0)
    with np.errstate(invalid="ignore"):  # an infinite error has no band
        if n > 1:
            half = t_quantile((1 + LEVEL) / 2, n - 1) * by_replicate.std(axis=0, ddof=1) / np.sqrt(n)
        else:
            half = special.ndtri((1 + LEVEL) / 2) * drawn.std(axis=0, ddof=1)
        return mean - half, mean + half


def over_log2(curves: np.ndarray) -> np.ndarray:
    """[...]: the mean over log2(k) of `curves` [..., K], from k = 1 to K, by the trapezoid rule.

    Every doubling of the budget counts alike, so what a few trials reach counts as much as what many more add.
    """
    octaves = np.log2(np.arange(1, curves.shape[-1] + 1))
    return np.asarray((curves[..., 1:] + curves[..., :-1]) / 2 @ np.diff(octaves) / octaves[-1])


def alike(block: Block, arms: Sequence[str]) -> Block:
    """The block with those search cells of `arms` alone that lie in windows of the same size around each arm's best.

    How far a window reaches to each side of the best cell, in octaves of lr and of wd, is decided by the arm that was
    searched least far there. A curve says what the window holds that was searched; these differ in their place only.
    `arms` have a best cell and decay.
    """
    rows, best = block.rows[block.rows["phase"] == "search"], choices(block)
    of_arms = [rows[rows["arm"] == arm] for arm in arms]
    centres = [(best[arm].winner.lr, best[arm].winner.wd) for arm in arms]
    octaves = [  # [rows, 2] of each arm
        np.log2(of_arm[["lr", "wd"]].to_numpy() / centre).round(6)
        for of_arm, centre in zip(of_arms, centres, strict=True)
    ]
    low = np.max([places.min(axis=0) for places in octaves], axis=0)
    high = np.min([places.max(axis=0) for places in octaves], axis=0)
    inside = [((low <= places) & (places <= high)).all(axis=1) for places in octaves]
    return replace(block, rows=pd.concat([of_arm[kept] for of_arm, kept in zip(of_arms, inside, strict=True)]))


def _searched(block: Block, arm: str) -> dict[str, Cell]:
    """The arm's cells, by name, that have all of the seeds which serve most of them."""
    choice = choices(block).get(arm)
    cells = runs(block)[arm] if choice else []
    return {cell.name: cell for cell in cells if choice and set(choice.shared) <= cell.runs.keys()}


def _ranked(block: Block, cells: Sequence[Cell]) -> Ranked:
    """These cells on the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(cell.runs) for cell in cells)))
    reported = dict(zip(block.rows["trial"], block.rows[block.measure.report], strict=True))
    own = np.array([[_error(cell.runs[seed], reported) for cell in cells] for seed in seeds])  # [S, n]
    others = np.array([np.delete(own, s, axis=0).mean(axis=0) for s in range(len(own))]) if len(own) > 1 else own
    order = np.array([sorted(range(len(cells)), key=lambda i: cells[i].key((seed,))) for seed in seeds])
    return Ranked(cells, np.argsort(order, axis=1), np.take_along_axis(others, order, axis=1))


def _error(run: Run, reported: Mapping[str, float]) -> float:
    """A diverged run without a number is infinitely bad."""
    error = float(reported[run.trial])
    return math.inf if run.diverged and math.isnan(error) else error
