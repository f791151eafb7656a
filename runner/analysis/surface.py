"""A smooth surface through the good cells of a map, and what is read off it: `fit(landscape)` is the call to know.

log(error) is fitted by a quadratic in log2 of the learning rate and of the decay per step, by least squares with each
cell's number of seeds (or replicates) as its weight. Only good cells count, so that what a map is like where training
fails has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from runner.analysis.landscape import GOOD, Landscape
from runner.analysis.statistics import LEVEL

TERMS = 6  # 1, x, y, x^2, xy, y^2
NEEDED = 2 * TERMS  # good cells: as many degrees of freedom as coefficients
LINES = 3  # rates and decays that a curvature needs
OTHER_LIMITS = (1.5, 3.0)  # of the good cells, beside GOOD


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted surface; x is log2(lr) and y log2(decay per step), both from the mean of the cells.

    Args:
        coefficients: [6] of 1, x, y, x^2, xy and y^2.
        drawn: [DRAWS, 6] those of maps with fresh noise.
        design: [N, 6] the six terms at each cell.
        freedom: degrees of freedom of the noise.
    """

    coefficients: np.ndarray
    drawn: np.ndarray
    design: np.ndarray
    freedom: int

    @property
    def covariance(self) -> np.ndarray:
        return np.cov(self.drawn.T)

    @property
    def cells(self) -> int:
        return len(self.design)

    @property
    def slope(self) -> float:
        """Of the valley, d log2(best decay) / d log2(lr): where the derivative in y is 0, y moves so with x."""
        return float(-self.coefficients[4] / (2 * self.coefficients[5]))

    @property
    def no_valley(self) -> str:
        """Why there is no valley among the cells; '' where there is one: a curvature in the decay beyond its noise."""
        curvature, half = self.coefficients[5], self._quantile * math.sqrt(self.covariance[5, 5])
        if curvature <= half:
            return f"the fitted surface is no bowl: its curvature in the decay is {curvature:.2g} ± {half:.2g}"
        bottom = -self.coefficients[2] / (2 * curvature)
        outside = not self.design[:, 2].min() <= bottom <= self.design[:, 2].max()
        return "the fitted surface has its lowest decay outside the good cells" if outside else ""

    @property
    def slope_interval(self) -> tuple[float, float]:
        """The slopes that `steeper` does not reject (Fieller 1954); the whole line where there is no valley."""
        if self.no_valley:
            return -math.inf, math.inf
        xy, yy, v, t2 = self.coefficients[4], self.coefficients[5], self.covariance, self._quantile**2
        # (xy + 2 s yy)^2 = t^2 Var(xy + 2 s yy), a quadratic equation in s.
        roots = np.roots([4 * (yy**2 - t2 * v[5, 5]), 4 * (xy * yy - t2 * v[4, 5]), xy**2 - t2 * v[4, 4]])
        low, high = sorted(roots.real)
        return float(low), float(high)

    def steeper(self, slope: float) -> tuple[float, float]:
        """(estimate, standard error) of a number that is above 0 where the valley's slope is above `slope`.

        A ratio is tested by the sum that is 0 where it has the value (Fieller 1954): that is normal, as no ratio is.
        """
        # The slope is above s where -xy / (2 yy) > s, which for yy > 0 is -xy - 2 s yy > 0.
        weights = np.array([-1.0, -2 * slope])
        estimate = float(weights @ self.coefficients[4:])
        return estimate, math.sqrt(max(0.0, float(weights @ self.covariance[4:, 4:] @ weights)))

    @property
    def interaction(self) -> tuple[float, np.ndarray]:
        """Share of the surface's variance that no sum of a function of lr and one of decay explains, around its bottom.

        It is what a two-way analysis of variance gives on a square there, as many octaves of lr as of decay:
        5 xy^2 / (4 xx^2 + 4 yy^2 + 5 xy^2). With it [DRAWS] the share in drawn maps. It is 0 to 1, and NaN where the
        surface is straight to within its noise.

        Why this of the measures of a twisted valley: xy^2 / (4 xx yy) has no value where a map is a saddle or flat
        along the rate, as many are; the share of the cells' own variance depends on which of them are good, so that of
        two maps with one truth it calls one the more separable far too often. This one is of the curvature alone.
        """
        noise = np.diag(self.covariance)
        # Squares hold the noise too, and those of a drawn map hold it twice: its own and the one drawn.
        squares = np.concatenate([self.coefficients[None] ** 2 - noise, self.drawn**2 - 2 * noise])
        twisted, whole = 5 * squares[:, 4], squares @ np.array([0, 0, 0, 4, 5, 4])
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(whole > 0, np.clip(twisted / whole, 0, 1), 0.0)
        return float(shares[0]) if whole[0] > 0 else math.nan, shares[1:]

    @property
    def _quantile(self) -> float:
        return float(special.stdtrit(self.freedom, (1 + LEVEL) / 2))


def counting(land: Landscape) -> np.ndarray:
    """[L] the learning rates whose best decay beats no decay by more than noise; all where no decay was not trained.

    Where no decay is as good as any, which decay looks best is chance. The best of k decays is chosen by its error, so
    that each is tested at a k-th of 5 % (Bonferroni).
    """
    counts = np.ones(len(land.lr), dtype=bool)
    for i in np.flatnonzero(np.isfinite(land.zero)):
        tried = np.flatnonzero(np.isfinite(land.log_error[i]))
        best = tried[np.argmin(land.log_error[i, tried])] if len(tried) else 0
        error = land.noise.sd * math.sqrt(1 / land.zero_units[i] + 1 / max(land.units[i, best], 1))
        distance = special.stdtrit(land.noise.freedom, 1 - (1 - LEVEL) / max(len(tried), 1)) * error
        counts[i] = len(tried) > 0 and land.zero[i] - land.log_error[i, best] > distance
    return counts


def fit(land: Landscape, limit: float = GOOD, rates: np.ndarray | None = None, stream: int = 0) -> Surface | str:
    """The surface through the cells of at most `limit` times the best error, or in words why there is none.

    Args:
        land: the map.
        limit: a ratio of errors.
        rates: [L] which learning rates count; None for all.
        stream: of the noise that is drawn; two maps that are compared have different ones.
    """
    used = np.isfinite(land.log_error) & (land.log_error <= land.best + math.log(limit))
    used &= True if rates is None else rates[:, None]
    groups = np.argwhere(used)
    x = np.broadcast_to(land.lr[:, None], used.shape)[used]
    y = land.wd_paper[used]
    lines = [len(set(groups[:, i])) for i in (0, 1)]
    few = len(groups) < NEEDED or min(lines) < LINES
    if not few:
        x, y = x - x.mean(), y - y.mean()
        design = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)
        few = np.linalg.matrix_rank(design) < TERMS
    if few:
        where = "" if rates is None else " where decay helps"
        return (
            f"{len(groups)} good cells (up to {limit:g} times the best error), at {lines[0]} rates{where} and "
            f"{lines[1]} decays; a surface takes {NEEDED}, at {LINES} and {LINES}"
        )
    root = np.sqrt(land.units[used])[:, None]
    solve = np.linalg.pinv(design * root) * root.T
    return Surface(solve @ land.log_error[used], land.drawn(stream)[:, used] @ solve.T, design, land.freedom)


def windows(land: Landscape) -> Iterator[tuple[Landscape, float]]:
    """The map itself with the good cells' limit, and the other windows that its statistics are tried in.

    Those are the grid without an outer learning rate or decay, and good cells up to 1.5 or 3 times the best.
    """
    yield land, GOOD
    without = (slice(1, None), slice(None, -1))
    yield from ((land.part(rates=one), GOOD) for one in without)
    yield from ((land.part(decays=one), GOOD) for one in without)
    yield from ((land, limit) for limit in OTHER_LIMITS)
