"""Numbers that describe a whole map of errors, and their spread: `landscape(block, map)` is the call to know.

A map is log(error) over log2(lr) and log2(wd). Noise comes from cells that were trained with several seeds, spreads by
a parametric bootstrap: the map with fresh noise drawn on every cell, a thousand times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block
from runner.analysis.maps import Map

CELLS, FREEDOM = 10, 40  # replicated cells and degrees of freedom: ten cells with five seeds have as many
DRAWS = 1000
GOOD = math.log(2)  # cells up to twice the best error


@dataclass(frozen=True)
class Noise:
    """`sd`: of log(error) from seed to seed, pooled over replicated cells that are good."""

    sd: float
    cells: int
    freedom: int

    @property
    def obstacle(self) -> str:
        if self.cells < CELLS or self.freedom < FREEDOM:
            return (
                f"noise unknown: {self.cells} good cells with several seeds, {self.freedom} degrees of freedom; "
                f"{CELLS} and {FREEDOM} are needed (more seeds, or map_noise={CELLS})"
            )
        return ""


@dataclass(frozen=True, eq=False)
class Landscape:
    """`log_error` [L, W] over `lr` [L] and positive `wd` [W], both log2; `seeds` [L, W]; NaN where no run is complete.

    `wd_paper` [L, W] is log2 of the decay per step for decoupled arms, `wd` itself for L2.
    """

    lr: np.ndarray
    wd: np.ndarray
    wd_paper: np.ndarray
    log_error: np.ndarray
    seeds: np.ndarray
    noise: Noise

    @property
    def best(self) -> float:
        return float(np.nanmin(self.log_error))

    @property
    def is_complete(self) -> bool:
        return bool(np.isfinite(self.log_error).all())

    def drawn(self, stream: int = 0) -> np.ndarray:
        """[DRAWS, L, W]: the map with fresh noise, the same for every call with one `stream`."""
        noise = np.random.default_rng(stream).standard_normal((DRAWS, *self.log_error.shape))
        return self.log_error + self.noise.sd / np.sqrt(np.maximum(self.seeds, 1)) * noise

    def spread(self, statistic: Callable[[np.ndarray], float], stream: int = 0) -> np.ndarray:
        """The statistic of each map of `drawn`."""
        return np.array([statistic(log_error) for log_error in self.drawn(stream)])


def noise_of(block: Block) -> Noise:
    """From all runs with a number, of the search or fresh: cells with several seeds, up to twice the best mean."""
    column = block.measure.select
    rows = block.rows[(block.rows["status"] == "ok") & (block.rows[column] + offset(block) > 0)]
    logs = np.log(rows[column] + offset(block))
    by_cell = logs.groupby(rows["cell"])
    mean, count, variance = by_cell.mean(), by_cell.size(), by_cell.var(ddof=1)
    # Bad cells vary much more from seed to seed than those that the claims are about.
    good = (count > 1) & (mean <= mean.min() + GOOD) if len(mean) else count > 1
    freedom = int((count[good] - 1).sum())
    pooled = float((variance[good] * (count[good] - 1)).sum() / freedom) if freedom else math.nan
    return Noise(math.sqrt(pooled) if freedom else math.nan, int(good.sum()), freedom)


def offset(block: Block) -> float:
    """Half an example in percent, so that an error of 0 has a logarithm."""
    if block.measure.kind == "loss":
        return 0.0
    sizes = pd.to_numeric(block.rows["val_size"], errors="coerce").dropna()
    return 50 / float(sizes.max()) if len(sizes) and sizes.max() > 0 else 0.01


def landscape(block: Block, map_: Map, noise: Noise) -> Landscape:
    """The arm's map on its positive decays; cells of which seeds are missing are NaN, diverged ones at chance."""
    cells = map_.cells[(map_.cells["wd"] > 0)]
    lrs, wds = sorted(set(cells["lr"])), sorted(set(cells["wd"]))
    shape = (len(lrs), len(wds))
    log_error, seeds = np.full(shape, np.nan), np.zeros(shape)
    columns = ("lr", "wd", "score", "n_seeds", "complete")
    for lr, wd, score, n, complete in zip(*(cells[name] for name in columns), strict=True):
        if complete and np.isfinite(score) and score + offset(block) > 0:
            log_error[lrs.index(lr), wds.index(wd)] = math.log(score + offset(block))
            seeds[lrs.index(lr), wds.index(wd)] = n
    x, y = np.log2(lrs), np.log2(wds)
    # In torch's convention lr multiplies the decay of a step, so their logarithms add up.
    per_step = y[None, :] + (x[:, None] if map_.convention == "torch" else np.zeros((len(x), 1)))
    return Landscape(x, y, per_step, log_error, seeds, noise)


def lowest(wd: np.ndarray, log_error: np.ndarray) -> float:
    """The decay (log2) of the smallest error: the vertex of the parabola through the best point and its neighbours."""
    at = int(np.nanargmin(log_error))
    near = log_error[max(0, at - 1) : at + 2]
    if len(near) < 3 or not np.isfinite(near).all():  # On the edge, or beside a cell without a number: no parabola.
        return float(wd[at])
    left, right = wd[at] - wd[at - 1], wd[at + 1] - wd[at]
    # How steeply the error falls to this point and rises from it: both are at least 0, because it is the smallest.
    down, up = (near[0] - near[1]) / left, (near[2] - near[1]) / right
    if down + up <= 0:  # Three equal errors are no parabola either.
        return float(wd[at])
    return float(wd[at] + (down * right - up * left) / (2 * (down + up)))


def slope_rows(land: Landscape) -> list[int]:
    """Learning rates with a best decay that is not on the edge and at most twice as bad as the best of all."""
    rows = []
    for i, line in enumerate(land.log_error):
        if np.isfinite(line).all():
            at = int(np.argmin(line))
            if 0 < at < len(line) - 1 and line[at] <= land.best + GOOD:
                rows.append(i)
    return rows


def slope(land: Landscape, rows: list[int], log_error: np.ndarray) -> float:
    """Of log2(best decay per step) on log2(lr): 0 for a basin along the lr axis, -1 where lr x wd is what matters."""
    optima = [lowest(land.wd_paper[i], log_error[i]) for i in rows]
    x = land.lr[rows] - land.lr[rows].mean()
    return float(x @ np.array(optima) / (x @ x))


def interaction(land: Landscape, log_error: np.ndarray, sd: float) -> float:
    """Share of the variance of log(error) that no sum of a function of lr and one of wd explains, noise taken off."""
    rows, columns = log_error.shape
    # Two-way analysis of variance: what is left when the means of rows and columns are taken off is the interaction.
    centred = log_error - log_error.mean()
    left = centred - centred.mean(1, keepdims=True) - centred.mean(0, keepdims=True)
    # Each sum of squares holds the noise of a cell's mean, once for each of its degrees of freedom.
    noise = sd**2 * float(np.mean(1 / np.maximum(land.seeds, 1)))
    rest = float((left**2).sum()) - (rows - 1) * (columns - 1) * noise
    total = float((centred**2).sum()) - (rows * columns - 1) * noise
    return min(1.0, max(0.0, rest) / total) if total > 0 else 0.0


def regret_starts(land: Landscape) -> list[int]:
    """Learning rates to begin a line search at: all but the best one at which decay makes any difference."""
    best = int(np.unravel_index(np.argmin(land.log_error), land.log_error.shape)[0])
    spread = land.log_error.max(1) - land.log_error.min(1)
    noise = land.noise.sd / np.sqrt(np.maximum(land.seeds, 1)).mean()
    # Where decay makes no difference beyond the noise, which decay looks best is chance, and no line search begins.
    return [i for i in range(len(land.lr)) if i != best and spread[i] > 4 * noise]


def regret(log_error: np.ndarray, starts: list[int]) -> float:
    """Mean log ratio to the grid's best error of: the best decay at a badly chosen rate, then the best rate with it."""
    reached = [log_error[:, int(np.argmin(log_error[i]))].min() for i in starts]
    return float(np.mean(reached) - log_error.min())


def profile(log_error: np.ndarray) -> np.ndarray:
    """For each decay the smallest error over the learning rates."""
    return np.asarray(np.nanmin(log_error, axis=0))
