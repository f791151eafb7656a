"""A map's surface: its least squares are scikit-learn's, its intervals cover a truth, and its refusals say why."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from runner.analysis.landscape import Landscape, Noise
from runner.analysis.surface import Surface, counting, fit, windows

AXIS = np.arange(-3.0, 4.0)
X, Y = np.meshgrid(AXIS, AXIS, indexing="ij")
Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def land_of(
    log_error: np.ndarray, sd: float = 0.05, units: int = 2, zero: float = math.nan, freedom: int = 60
) -> Landscape:
    """A map of one replicate on octaves, its cells' means over `units` seeds."""
    n = len(AXIS)
    noise = Noise(sd, 20, freedom)
    return Landscape(
        AXIS, AXIS, np.tile(AXIS, (n, 1)), log_error, np.full((n, n), units), noise, np.full(n, zero), np.full(n, units)
    )


def replicated(maps: np.ndarray) -> Landscape:
    """A map with as many replicates as `maps` [R, L, W] has."""
    n = len(AXIS)
    noise = Noise(0.05, 20, 60, len(maps))
    whole = np.full((n, n), len(maps))
    empty = np.full(n, math.nan)
    tile = np.tile(AXIS, (n, 1))
    return Landscape(AXIS, AXIS, tile, maps.mean(axis=0), whole, noise, empty, whole[0], maps, tuple(range(len(maps))))


def surface_of(land: Landscape, limit: float = 2.0, stream: int = 0) -> Surface:
    found = fit(land, limit, stream=stream)
    assert isinstance(found, Surface), found
    return found


def valley(slope: float) -> np.ndarray:
    return 0.02 * X**2 + 0.08 * (Y - slope * X) ** 2


def test_the_fit_is_the_weighted_least_squares_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    land = land_of(valley(-0.7) + random.normal(0, 0.05, X.shape))
    land = Landscape(land.lr, land.wd, land.wd_paper, land.log_error, random.integers(1, 5, X.shape), land.noise)
    surface = surface_of(land)
    used = land.log_error <= land.log_error.min() + math.log(2)
    assert surface.cells == used.sum()
    x, y = X[used] - X[used].mean(), Y[used] - Y[used].mean()
    terms = np.stack([x, y, x * x, x * y, y * y], axis=1)
    peer = LinearRegression().fit(terms, land.log_error[used], sample_weight=land.units[used])
    assert surface.coefficients == pytest.approx([peer.intercept_, *peer.coef_])
    # Weighted by the number of seeds the estimate has the covariance sd^2 (X'WX)^-1.
    design = np.column_stack([np.ones(len(x)), terms])
    exact = 0.05**2 * np.linalg.inv(design.T @ (design * land.units[used][:, None]))
    assert np.diag(surface.covariance) == pytest.approx(np.diag(exact), rel=0.25)


def test_a_surface_without_noise_gives_its_slope_and_what_is_twisted_in_it() -> None:
    for slope in (-1.65, -0.5, 0.0, 0.4):
        surface = surface_of(land_of(valley(slope), sd=1e-6))
        assert surface.slope == pytest.approx(slope, abs=1e-4)
        assert surface.no_valley == ""
    assert surface_of(land_of(valley(0.0), sd=1e-6)).interaction[0] == pytest.approx(0, abs=1e-6)
    # On a fine square around the bottom the share is that of a two-way analysis of variance, whatever cells were tried.
    x, y = np.meshgrid(*[np.linspace(-1, 1, 401)] * 2, indexing="ij")
    truth = 0.02 * x**2 + 0.08 * (y + 0.5 * x) ** 2
    rows, columns = truth.mean(1, keepdims=True), truth.mean(0, keepdims=True)
    share = float(((truth - rows - columns + truth.mean()) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    for limit in (1.5, 2.0, 1e6):
        assert surface_of(land_of(valley(-0.5), sd=1e-6), limit).interaction[0] == pytest.approx(share, rel=0.01)


def test_the_interval_of_a_slope_holds_those_that_are_not_rejected() -> None:
    """Fieller's: at either end the two-sided test of that slope has a p-value of just 5 %."""
    surface = surface_of(land_of(valley(-0.7) + np.random.default_rng(1).normal(0, 0.05, X.shape)))
    low, high = surface.slope_interval
    assert low < surface.slope < high
    for end, side in ((low, 1), (high, -1)):
        estimate, error = surface.steeper(end)
        assert stats.t(surface.freedom).sf(side * estimate / error) == pytest.approx(0.025)
    (above, _), (below, _) = surface.steeper(surface.slope - 0.1), surface.steeper(surface.slope + 0.1)
    assert above > 0 > below


def _covered(lands: list[Landscape], slope: float) -> tuple[float, float, float]:
    """Shares of maps whose interval holds the slope, lies above it, and lies below it."""
    inside = above = below = 0
    for land in lands:
        low, high = surface_of(land).slope_interval
        inside += low <= slope <= high
        above += low > slope
        below += high < slope
    return inside / len(lands), above / len(lands), below / len(lands)


def test_intervals_of_slopes_cover_the_truth_at_their_rate() -> None:
    """400 maps of a known surface, the good cells chosen on the noisy map each time."""
    random = np.random.default_rng(2)
    lands = [land_of(valley(-0.5) + random.normal(0, 0.05 / math.sqrt(2), X.shape)) for _ in range(400)]
    inside, above, below = _covered(lands, -0.5)
    assert 0.925 <= inside <= 0.975  # two standard deviations of a share of 400
    assert max(above, below) <= 0.045


def _splits(random: np.random.Generator, count: int) -> np.ndarray:
    """[R, L, W] maps whose split moves the whole valley, beside the noise of each cell."""
    return np.stack(
        [
            0.02 * (X - a) ** 2 + 0.08 * (Y - b + (0.5 + turn) * X) ** 2 + level + random.normal(0, 0.05, X.shape)
            for a, b, turn, level in random.normal(0, [0.5, 0.5, 0.3, 0.2], (count, 4))
        ]
    )


def test_replicates_are_the_units_because_cells_of_one_split_are_alike() -> None:
    """Each split has a slope of its own: intervals over 6 replicates cover the mean one; taking the runs of a cell for
    independent of those of the next, as within one split, would not."""
    random = np.random.default_rng(3)
    maps = [_splits(random, 6) for _ in range(300)]
    # The slope of the mean surface, which is quadratic in the turn, is -0.5 by symmetry.
    inside, above, below = _covered([replicated(one) for one in maps], -0.5)
    assert 0.92 <= inside <= 0.985
    assert max(above, below) <= 0.05
    sd = float(np.mean([one.std(axis=0, ddof=1).mean() for one in maps]))
    naive, _, _ = _covered([land_of(one.mean(axis=0), sd=sd, units=6) for one in maps[:100]], -0.5)
    paired = [land_of(one.mean(axis=0), sd=0.05, units=6) for one in maps[:100]]
    assert _covered(paired, -0.5)[0] < 0.6
    assert naive != inside


def test_two_maps_of_one_truth_are_seldom_ranked_by_their_interaction() -> None:
    random = np.random.default_rng(4)
    first = second = 0
    for _ in range(300):
        lands = [land_of(valley(-0.4) + random.normal(0, 0.05 / math.sqrt(2), X.shape)) for _ in range(2)]
        a, b = (surface_of(land, stream=stream).interaction for stream, land in enumerate(lands))
        error = float(np.std(a[1] - b[1], ddof=1))
        t = stats.t(60).cdf((a[0] - b[0]) / error)
        first += t < 0.025
        second += t > 0.975
    assert max(first, second) <= 0.045 * 300


def test_only_rates_at_which_decay_helps_beyond_noise_count() -> None:
    truth = valley(0.0)
    truth[:2] = 1.0  # at the two lowest rates decay makes no difference to an error of e
    assert list(counting(land_of(truth, sd=0.05, zero=1.0))) == [False] * 2 + [True] * 5
    assert counting(land_of(truth)).all()  # no decay was not trained
    # Where no decay is as good as any, the best of seven decays looks better by chance, at 5 % of the rates or fewer.
    random = np.random.default_rng(5)
    flat = [land_of(random.normal(0, 0.1, X.shape), 0.1 * math.sqrt(2), zero=0.0) for _ in range(100)]
    for land in flat:
        land.zero[:] = random.normal(0, 0.1, len(AXIS))
    assert np.mean([counting(land) for land in flat]) <= 0.06


def test_what_cannot_be_fitted_or_is_no_bowl_says_why() -> None:
    steep = land_of(3 * X**2 + 3 * Y**2)
    assert fit(steep) == (
        "1 good cells (up to 2 times the best error), at 1 rates and 1 decays; a surface takes 12, at 3 and 3"
    )
    few = fit(land_of(valley(0.0)), rates=AXIS < -1)
    assert isinstance(few, str)
    assert "at 2 rates where decay helps" in few
    flat = surface_of(land_of(0.05 * X**2 + np.random.default_rng(6).normal(0, 0.05, X.shape)))
    assert "no bowl" in flat.no_valley
    assert flat.slope_interval == (-math.inf, math.inf)
    saddle = surface_of(land_of(0.05 * X**2 - 0.02 * Y**2))
    assert "no bowl" in saddle.no_valley
    assert "outside the good cells" in surface_of(land_of(0.02 * X**2 + 0.05 * (Y + 5) ** 2)).no_valley


def test_each_window_leaves_out_one_outer_row_or_column_or_has_another_limit() -> None:
    land = land_of(valley(-0.5))
    found = [(one.lr[0], one.lr[-1], one.wd[0], one.wd[-1], limit) for one, limit in windows(land)]
    assert found == [
        (-3, 3, -3, 3, 2.0),
        (-2, 3, -3, 3, 2.0),
        (-3, 2, -3, 3, 2.0),
        (-3, 3, -2, 3, 2.0),
        (-3, 3, -3, 2, 2.0),
        (-3, 3, -3, 3, 1.5),
        (-3, 3, -3, 3, 3.0),
    ]
    for one, _ in windows(land):
        assert one.log_error.shape == one.units.shape == one.wd_paper.shape == (len(one.lr), len(one.wd))
        assert one.zero.shape == one.zero_units.shape == one.lr.shape
