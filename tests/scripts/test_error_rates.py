"""Claims about the studies that error rates are measured on: the truth is 0, and noise is what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runner.analysis.protocol import Protocol
from runner.analysis.statistics import estimate
from runner.analysis.verdict import decision
from runner.errors import UserError
from scripts.error_rates.better import rates_of_better
from scripts.error_rates.draws import FRESH, SEARCH, Noise, Runs, best, made_up, noise_of, resplit, runs_of
from scripts.error_rates.judging import FIXED, fixed, grouped, rates, sequential
from tests.report.studies import search, write

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
    return Runs("AdamW", y[..., 0], y[..., 0] / 30, y[..., 1], [(0.01, 0.1), (0.02, 0.1), (0.04, 0.1)])


def test_the_parts_of_the_noise_are_found_again() -> None:
    found = noise_of(runs(3000, 4, np.random.default_rng(0)))
    for name in ("mean", "of_split", "of_cell_in_split", "of_seed"):
        assert getattr(found, name) == pytest.approx(getattr(NOISE, name), abs=0.04), name


def test_the_cell_that_is_chosen_is_that_of_the_smallest_mean() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        val = rng.normal(5, 1, (6, 3))
        assert best(val, val, [(0.01 * 2**c, 0.1) for c in range(6)]) == pd.DataFrame(val).mean(axis=1).idxmin()


FINE = [(lr, wd) for lr in (0.01, 0.01414, 0.02, 0.02828, 0.04) for wd in (0.005, 0.01, 0.02, 0.04, 0.08)]


def fine(errors: dict[tuple[float, float], float]) -> np.ndarray:
    """[25, 2]: 9 % in every cell but these, with hardly any noise."""
    return np.array([[errors.get(at, 9.0), errors.get(at, 9.0) + 1e-3] for at in FINE])


def of_fine(arm: str, at: list[tuple[float, float]]) -> Runs:
    val = np.arange(2 * len(at) * 8, dtype=float).reshape(2, len(at), 8)
    return Runs(arm, val, val, val, at)


def test_a_search_that_refines_tries_the_cells_between_its_best_and_the_neighbours_alone() -> None:
    grid = of_fine("AdamW", FINE).laid_down().at
    assert grid == [(lr, wd) for lr in (0.01, 0.02, 0.04) for wd in (0.005, 0.02, 0.08)]
    near, far = (0.02828, 0.04), (0.01414, 0.01)
    val = fine({(0.04, 0.08): 3.0, near: 2.0, far: 1.0})
    assert FINE[best(val, val, FINE, grid)] == near  # the best of all is not beside the best of the grid
    assert FINE[best(val, val, FINE)] == far
    as_good = fine(dict.fromkeys(FINE, 2.0) | dict.fromkeys(grid, 3.0))
    assert FINE[best(as_good, as_good, FINE, grid)] in grid  # neighbours that are as good need no finer grid


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


def test_the_reference_is_the_one_that_looks_better_after_each_replicate() -> None:
    """Without noise in the search one of the two is always better: then it is one comparison, as any other."""
    calm = Noise(NOISE.mean, NOISE.of_split, np.zeros((2, 2)), np.array([[1e-12, 0.0], [0.0, 0.25]]))
    rows = {str(row["judged"]): row for row in rates_of_better("made up", calm, 400, 20, np.random.default_rng(6))}
    assert list(rows) == [*(f"replicates={number}" for number in FIXED), "auto, g=1, at most 20"]
    for row in rows.values():
        assert float(str(row["false_verdicts"])) <= 5 + 4 * 100 * (0.05 * 0.95 / 400) ** 0.5
        assert float(str(row["lower"])) + float(str(row["higher"])) == row["false_verdicts"]
    assert float(str(rows["replicates=4"]["false_verdicts"])) > 0


def test_a_study_of_several_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    rows = [row for epochs in (20, 40) for row in search(epochs=epochs, settings={"epochs": epochs})]
    with pytest.raises(UserError, match="has 2 settings; one is needed"):
        runs_of(write(tmp_path, rows, curves=False))
