"""Claims about the test that allows a look after every replicate, against SciPy's distributions and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from runner.analysis.sequential import confidence_sequence, e_value, least


@pytest.mark.parametrize("g", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(("t", "n"), [(0.3, 2), (-1.5, 4), (2.8, 9), (4.0, 30)])
def test_the_e_value_is_the_likelihood_ratio_of_t_under_a_normal_effect(t: float, n: int, g: float) -> None:
    def likelihood(effect: float) -> float:
        return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * stats.norm.pdf(effect, 0, math.sqrt(g)))

    # Beyond the likelihood of t there is nothing to integrate.
    reach = (abs(t) + 12) / math.sqrt(n)
    mixture, _ = integrate.quad(likelihood, -reach, reach, limit=400, points=[t / math.sqrt(n)])
    expected = mixture / float(stats.t.pdf(t, n - 1))
    assert e_value(t / math.sqrt(n), 1.0, n, g) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("g", [0.25, 1.0, 16.0])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [6, 12, 60])
def test_the_interval_ends_where_the_e_value_excludes(n: int, alpha: float, g: float) -> None:
    half = confidence_sequence(0.7, n, g, alpha)
    if half == math.inf:
        assert e_value(1e12, 0.7, n, g) < 1 / alpha
        return
    assert e_value(half, 0.7, n, g) == pytest.approx(1 / alpha, rel=1e-9)
    assert e_value(1.01 * half, 0.7, n, g) > 1 / alpha > e_value(0.99 * half, 0.7, n, g)


@pytest.mark.parametrize("g", [0.25, 1.0, 4.0, 300.0])
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_the_first_look_is_the_first_that_can_decide(g: float, alpha: float) -> None:
    first = least(g, alpha)
    assert e_value(1e9, 1e-3, first, g) >= 1 / alpha
    assert first == 2 or e_value(1e9, 1e-3, first - 1, g) < 1 / alpha
    assert math.isfinite(confidence_sequence(1.0, first + 1, g, alpha))


def test_with_g_1_no_difference_is_decided_before_the_fifth_replicate() -> None:
    assert least(1.0, 0.05) == 5


@pytest.mark.parametrize("g", [0.25, 1.0, 4.0])
def test_looking_after_each_of_100_replicates_finds_a_difference_that_is_not_there_in_5_percent_at_most(
    g: float,
) -> None:
    studies, most, alpha = 2000, 100, 0.05
    values = np.random.default_rng(0).standard_normal((studies, most))
    n = np.arange(1, most + 1)
    mean = values.cumsum(1) / n
    std = np.sqrt(np.maximum((values**2).cumsum(1) - n * mean**2, 0) / np.maximum(n - 1, 1))
    found = sum(
        any(e_value(m, s, k, g) >= 1 / alpha for m, s, k in zip(means, stds, n.tolist(), strict=True))
        for means, stds in zip(mean.tolist(), std.tolist(), strict=True)
    )
    assert found / studies <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / studies)
    # A t test that is looked at as often finds one in far more: the simulation can tell the two apart.
    t = np.abs(mean[:, 3:]) * np.sqrt(n[3:]) / std[:, 3:]
    assert np.mean((t > stats.t.ppf(0.975, n[3:] - 1)).any(1)) > 3 * alpha


@pytest.mark.parametrize(("mean", "std", "n"), [(1.0, 0.0, 9), (0.0, 0.0, 9), (1.0, 0.5, 1), (math.nan, 1.0, 5)])
def test_what_does_not_vary_or_is_not_there_decides_nothing(mean: float, std: float, n: int) -> None:
    assert e_value(mean, std, n, 1.0) == 1.0
    if n < 2 or std == 0:
        assert confidence_sequence(std, n, 1.0, 0.05) == math.inf


def test_overwhelming_evidence_is_infinite_and_no_error() -> None:
    assert e_value(1.0, 1e-12, 500, 1.0) == math.inf
