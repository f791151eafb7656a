"""A map of errors as numbers, and its noise: `landscape(block, map, noise_of(block))` is the call to know.

A map is log(error) over log2(lr) and log2(wd). With one replicate its noise is that from seed to seed, pooled over
cells that were trained with several; a thousand maps with fresh noise on every cell are drawn from it (a parametric
bootstrap). With several replicates it is that from replicate to replicate: the runs of one share their split of the
data, so replicates are what is drawn anew, each with all of its cells at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block, per_block
from runner.analysis.maps import Map
from runner.analysis.select import cells

CELLS, FREEDOM = 10, 40  # replicated cells and degrees of freedom: ten cells with five seeds have as many
DRAWS = 1000
GOOD = 2.0  # good cells: up to so many times the best error
NO_ZERO = np.empty(0)


@dataclass(frozen=True)
class Noise:
    """How far one unit's log(error) lies from its cell's mean.

    Args:
        sd: standard deviation, pooled over cells that are good. Of a seed in its cell; with several replicates of a
            replicate in its cell, what it has in all cells alike taken off.
        cells: how many cells it is from.
        freedom: its degrees of freedom.
        replicates: how many there are; with several they are the units.
    """

    sd: float
    cells: int
    freedom: int
    replicates: int = 1

    @property
    def obstacle(self) -> str:
        """Why a map's noise is unknown; '' where it is known."""
        if self.replicates == 1 and (self.cells < CELLS or self.freedom < FREEDOM):
            return (
                f"noise unknown: {self.cells} good cells with several seeds, {self.freedom} degrees of freedom; "
                f"{CELLS} and {FREEDOM} are needed (more seeds, or map_noise={CELLS})"
            )
        return ""


@dataclass(frozen=True, eq=False)
class Landscape:
    """An arm's map; everything in logarithms.

    Args:
        lr: [L] log2 of the learning rates.
        wd: [W] log2 of the decays above 0.
        wd_paper: [L, W] log2 of the decay per step for decoupled arms, `wd` itself for L2.
        log_error: [L, W] natural logarithm of the mean error; NaN where no run is complete.
        units: [L, W] how many seeds, or replicates where there are several, a cell's mean is over.
        noise: of a unit.
        zero: [L] log(error) without decay; NaN where that was not trained. Empty means nowhere.
        zero_units: [L] as `units`.
        by_replicate: [R, L, W] log(error) in each replicate; empty where there is one.
        numbers: [R] the replicates' numbers.
    """

    lr: np.ndarray
    wd: np.ndarray
    wd_paper: np.ndarray
    log_error: np.ndarray
    units: np.ndarray
    noise: Noise
    zero: np.ndarray = field(default_factory=lambda: NO_ZERO)
    zero_units: np.ndarray = field(default_factory=lambda: NO_ZERO)
    by_replicate: np.ndarray = field(default_factory=lambda: NO_ZERO)
    numbers: tuple[int, ...] = ()

    @property
    def best(self) -> float:
        return float(np.nanmin(self.log_error))

    @property
    def is_complete(self) -> bool:
        return bool(np.isfinite(self.log_error).all())

    @property
    def sample(self) -> tuple[float, str]:
        """What more of would narrow the intervals, and how many there are: (8, 'replicates')."""
        if len(self.numbers) > 1:
            return len(self.numbers), "replicates"
        return float(np.median(self.units[self.units > 0])), "seeds in a cell"

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what is drawn."""
        return len(self.numbers) - 1 if len(self.numbers) > 1 else self.noise.freedom

    def drawn(self, stream: int = 0) -> np.ndarray:
        """[DRAWS, L, W]: the map with fresh noise, the same for every call with one `stream`.

        With several replicates the deviations of their maps from the mean get random weights, which gives the drawn
        maps the covariance of the mean's, that between cells included. A replicate's weights are the same for all maps
        of a study, whose replicates share their splits.
        """
        if len(self.numbers) > 1:
            weights = np.random.default_rng(0).standard_normal((max(self.numbers) + 1, DRAWS))[list(self.numbers)]
            apart = (self.by_replicate - self.log_error) / math.sqrt(len(self.numbers) * (len(self.numbers) - 1))
            return np.asarray(self.log_error + np.einsum("rd,rlw->dlw", weights, apart))
        noise = np.random.default_rng(stream).standard_normal((DRAWS, *self.log_error.shape))
        return np.asarray(self.log_error + self.noise.sd / np.sqrt(np.maximum(self.units, 1)) * noise)

    def spread(self, statistic: Callable[[np.ndarray], float], stream: int = 0) -> np.ndarray:
        """The statistic of each map of `drawn`."""
        return np.array([statistic(log_error) for log_error in self.drawn(stream)])

    def part(self, rates: slice = slice(None), decays: slice = slice(None)) -> Landscape:
        """The same map on some of its learning rates and decays."""
        return replace(
            self,
            lr=self.lr[rates],
            wd=self.wd[decays],
            **{name: getattr(self, name)[rates, decays] for name in ("wd_paper", "log_error", "units")},
            **{name: getattr(self, name)[rates] for name in ("zero", "zero_units")},
            by_replicate=self.by_replicate[:, rates, decays] if len(self.numbers) > 1 else self.by_replicate,
        )


@per_block
def noise_of(block: Block) -> Noise:
    """From cells with several seeds or replicates, up to twice the best mean: bad ones vary much more than the good.

    With one replicate all runs with a number count, of the search or fresh.
    """
    column, logs = block.measure.select, _by_replicate(block)
    if logs.shape[1] > 1:
        logs = logs.dropna()
        logs = logs[logs.mean(axis=1) <= logs.mean(axis=1).min() + math.log(GOOD)]
        # What a split does to all cells alike takes no part in comparing them.
        table = logs.to_numpy()
        left = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
        count, of = table.shape
        return _noise(float((left**2).sum()), count, (count - 1) * (of - 1), of)
    rows = block.rows[(block.rows["status"] == "ok") & (block.rows[column] + offset(block) > 0)]
    by_cell = np.log(rows[column] + offset(block)).groupby(rows["cell"])
    mean, count, variance = by_cell.mean(), by_cell.size(), by_cell.var(ddof=1)
    good = (count > 1) & (mean <= mean.min() + math.log(GOOD)) if len(mean) else count > 1
    squares = float((variance[good] * (count[good] - 1)).sum())
    return _noise(squares, int(good.sum()), int((count[good] - 1).sum()), 1)


def _noise(squares: float, of_cells: int, freedom: int, replicates: int) -> Noise:
    return Noise(math.sqrt(squares / freedom) if freedom > 0 else math.nan, of_cells, max(0, freedom), replicates)


def offset(block: Block) -> float:
    """Half an example in percent, so that an error of 0 has a logarithm."""
    if block.measure.kind == "loss":
        return 0.0
    sizes = pd.to_numeric(block.rows["val_size"], errors="coerce").dropna()
    return 50 / float(sizes.max()) if len(sizes) and sizes.max() > 0 else 0.01


@per_block
def _by_replicate(block: Block) -> pd.DataFrame:
    """[cell, replicate]: log of a complete cell's mean error over a replicate's search seeds; NaN without any."""
    complete = cells(block)
    kept = {(cell, seed) for cell, seeds in zip(complete["cell"], complete["seeds"], strict=True) for seed in seeds}
    rows = block.rows[block.rows["phase"] == "search"]
    rows = rows[[pair in kept for pair in zip(rows["cell"], rows["seed"], strict=True)]]
    mean = rows.groupby(["cell", "replicate"])[block.measure.select].mean() + offset(block)
    return np.log(mean[mean > 0]).unstack() if len(mean) else pd.DataFrame()


def landscape(block: Block, map_: Map, noise: Noise) -> Landscape:
    """The arm's map; cells of which seeds are missing are NaN, diverged ones at chance.

    Args:
        block: whose rows it is made from.
        map_: of an arm, from `maps(block)`.
        noise: of the block, `noise_of(block)`.
    """
    lrs = sorted(set(map_.cells.loc[map_.cells["wd"] > 0, "lr"]))
    wds = [0.0, *(wd for wd in map_.wds if wd > 0)]
    logs = _by_replicate(block)
    shape = (len(lrs), len(wds))
    numbers = tuple(int(number) for number in logs.columns) if noise.replicates > 1 else ()
    error, units = np.full(shape, np.nan), np.zeros(shape)
    each = np.full((len(numbers), *shape), np.nan)
    columns = ("cell", "lr", "wd", "score", "n_seeds", "complete")
    for cell, lr, wd, score, n, complete in zip(*(map_.cells[name] for name in columns), strict=True):
        at = (lrs.index(lr), wds.index(wd))
        if not complete or not np.isfinite(score) or score + offset(block) <= 0:
            continue
        if numbers and np.isfinite(logs.loc[cell]).all():
            each[:, *at] = logs.loc[cell]
            error[at], units[at] = logs.loc[cell].mean(), len(numbers)
        elif not numbers:
            error[at], units[at] = math.log(score + offset(block)), n
    x, y = np.log2(lrs), np.log2(wds[1:])
    # In torch's convention lr multiplies the decay of a step, so their logarithms add up.
    per_step = y[None, :] + (x[:, None] if map_.convention == "torch" else np.zeros((len(x), 1)))
    zero, zero_units = error[:, 0], units[:, 0]
    return Landscape(x, y, per_step, error[:, 1:], units[:, 1:], noise, zero, zero_units, each[:, :, 1:], numbers)


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


def profile(log_error: np.ndarray) -> np.ndarray:
    """For each decay the smallest error over the learning rates."""
    return np.asarray(np.nanmin(log_error, axis=0))
