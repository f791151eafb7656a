"""Claims about the studies that error rates are measured on: the truth is 0, and noise is what it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scripts.error_rates.__main__ import fixed, rates, sequential
from scripts.error_rates.draws import FRESH, SEARCH, Noise, Runs, best, made_up, noise_of, resplit

NOISE = Noise(
    mean=np.array([[5.0, 5.0], [6.0, 6.5], [5.2, 5.1]]),
    of_split=np.array([[0.25, 0.1], [0.1, 0.16]]),
    of_cell_in_split=np.array([[0.09, 0.02], [0.02, 0.04]]),
    of_seed=np.array([[0.36, 0.1], [0.1, 0.25]]),
)


def runs(replicates: int, seeds: int, rng: np.random.Generator) -> Runs:
    """Runs with the noise above, drawn by components."""
    cells = len(NOISE.mean)
    normal = rng.multivariate_normal
    y = NOISE.mean[None, :, None] + normal(np.zeros(2), NOISE.of_seed, (replicates, cells, seeds))
    y = y + normal(np.zeros(2), NOISE.of_split, replicates)[:, None, None]
    y = y + normal(np.zeros(2), NOISE.of_cell_in_split, (replicates, cells))[:, :, None]
    return Runs("AdamW", y[..., 0], y[..., 0] / 30, y[..., 1])


def test_the_parts_of_the_noise_are_found_again() -> None:
    found = noise_of(runs(3000, 4, np.random.default_rng(0)))
    for name in ("mean", "of_split", "of_cell_in_split", "of_seed"):
        assert getattr(found, name) == pytest.approx(getattr(NOISE, name), abs=0.04), name


def test_the_cell_that_is_chosen_is_that_of_the_smallest_mean() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        val = rng.normal(5, 1, (6, 3))
        assert best(val, val) == pd.DataFrame(val).mean(axis=1).idxmin()


@pytest.mark.parametrize("kind", ["real", "made up"])
def test_an_arm_that_is_compared_with_itself_differs_by_0_on_average_and_by_chance_in_each_study(kind: str) -> None:
    rng = np.random.default_rng(2)
    if kind == "real":
        difference, error = resplit(runs(12, 2 * (SEARCH + FRESH), rng), 300, 6, rng)
    else:
        difference, error, _ = made_up(NOISE, 300, 6, rng)
    assert difference.shape == error.shape == (300, 6)
    assert difference.std() > 0.1
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)


def test_a_row_counts_what_the_judge_says_of_each_study() -> None:
    rng = np.random.default_rng(3)
    difference, error, _ = made_up(NOISE, 60, 8, rng)
    rows = {(row["judged"], row["effect_percent"]): row for row in rates("made up", difference, error)}
    said = [fixed(d, e, 4)[0] for d, e in zip(difference, error, strict=True)]
    row = rows["replicates=4", 0]
    assert row["lower"] == pytest.approx(100 * said.count("lower") / 60)
    assert row["false_verdicts"] == pytest.approx(100 * (said.count("lower") + said.count("higher")) / 60)
    # A difference that is there is found more often, and an arm that is looked at stops where it is sure.
    assert rows["replicates=8", 20]["higher"] > rows["replicates=8", 0]["higher"]
    looked = [sequential(d + 20.0, e, 1.0) for d, e in zip(difference, error, strict=True)]
    assert {(verdict, n) for verdict, _, n in looked} == {("higher", 5)}
