"""Claims about the studies that error rates are measured on: the truth is 0, and noise is what it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from runner.analysis.protocol import Protocol
from runner.analysis.statistics import estimate
from runner.analysis.verdict import decision
from scripts.error_rates.__main__ import fixed, grouped, rates, sequential
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
    difference, error = (grouped(part, 1) for part in made_up(NOISE, 60, 8, rng)[:2])
    rows = {(row["judged"], row["effect_percent"]): row for row in rates("made up", difference, error)}
    said = [fixed(d, e, 4).verdicts[0] for d, e in zip(difference, error, strict=True)]
    row = rows["replicates=4", 0]
    assert row["lower"] == pytest.approx(100 * said.count("lower") / 60)
    assert row["false_verdicts"] == pytest.approx(100 * (said.count("lower") + said.count("higher")) / 60)
    # A difference that is there is found more often, and an arm that is looked at stops where it is sure.
    assert rows["replicates=8", 20]["higher"] > rows["replicates=8", 0]["higher"]
    looked = [sequential(d + 20.0, e, 1.0) for d, e in zip(difference, error, strict=True)]
    assert {(said.verdicts, said.replicates) for said in looked} == {(("higher",), 5)}


def test_a_study_of_two_comparisons_is_wrong_where_either_is_and_goes_on_until_both_are_decided() -> None:
    difference, error = (grouped(part, 2) for part in made_up(NOISE, 120, 8, np.random.default_rng(4))[:2])
    assert difference.shape == (60, 2, 8)
    rows = {(row["judged"], row["effect_percent"]): row for row in rates("made up", difference, error)}
    protocol = Protocol(8, comparisons=2)
    found = [[decision(protocol.judged(estimate(d)), 5.0, protocol) for d in study] for study in difference]
    wrong = sum(not {"lower", "higher"}.isdisjoint(words) for words in found)
    row = rows["replicates=8", 0]
    assert (row["comparisons"], row["studies"]) == (2, 60)
    assert row["false_verdicts"] == pytest.approx(100 * wrong / 60)
    # One that is sure at once waits for the other, which nothing decides.
    said = sequential(np.stack([difference[0, 0] + 20.0, difference[0, 1]]), error[0], 1.0)
    assert (said.verdicts, said.replicates) == (("higher", "undecided"), 8)


def test_two_comparisons_share_alpha() -> None:
    """Of two that are normal around 0 a study judges either wrongly in 1 - 0.975^2 of the cases."""
    normal = np.random.default_rng(5).standard_normal((4000, 2, 6))
    wrong = np.mean([set(fixed(study, np.full((2, 6), 1e-9), 6).verdicts) != {"undecided"} for study in normal])
    assert abs(wrong - (1 - 0.975**2)) < 4 * (0.05 * 0.95 / 4000) ** 0.5
