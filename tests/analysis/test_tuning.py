"""Claims about tuning-budget curves: exact for any budget, of the right cells and runs, in a band that holds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import comb

from runner.analysis.blocks import Block, split
from runner.analysis.tuning import Curve, Ranked, band, best_of, expected, over_log2, resampled, tuning
from runner.records.schema import TRIALS
from tests.claims.made_up import Row, frame
from tests.report.studies import search, trial


def block_of(rows: Sequence[Row]) -> Block:
    (block,) = split(frame(rows, TRIALS))
    return block


def curves(rows: Sequence[Row]) -> dict[str, Curve]:
    return {curve.arm: curve for curve in tuning(block_of(rows))}


def cells(validation: Sequence[float], test: Sequence[float], seed: int = 0) -> list[Row]:
    """One row of AdamW per cell, with these errors."""
    pairs = enumerate(zip(validation, test, strict=True))
    return [trial("adamw", 1e-3, 0.01 * 2**i, seed, error=val, test_error=err) for i, (val, err) in pairs]


VALIDATION = [4.0, 2.0, 7.0, 3.0, 5.0, 1.0, 6.0]
TEST = [3.5, 2.5, 8.0, 2.0, 4.0, 3.0, 9.0]


def test_the_expectation_is_the_mean_over_all_subsets() -> None:
    found = curves(cells(VALIDATION, TEST))["AdamW"].mean
    for k in range(1, len(TEST) + 1):
        chosen = [min(some, key=lambda i: VALIDATION[i]) for some in itertools.combinations(range(len(TEST)), k)]
        assert found[k - 1] == pytest.approx(np.mean([TEST[i] for i in chosen]), rel=1e-13)


def test_a_simulated_random_search_agrees() -> None:
    """20,000 searches by numpy, each cell drawn at random and chosen by validation."""
    random = np.random.default_rng(3)
    validation, test = random.permutation(40) + 1.0, random.uniform(2, 60, 40)
    found = curves(cells(validation.tolist(), test.tolist()))["AdamW"].mean
    drawn = random.permuted(np.tile(np.arange(40), (20_000, 1)), axis=1)
    for k in (1, 2, 4, 8, 16, 32, 40):
        tried = drawn[:, :k]
        chosen = np.take_along_axis(tried, validation[tried].argmin(axis=1)[:, None], axis=1)[:, 0]
        error = test[chosen].std() / math.sqrt(len(chosen))
        assert abs(found[k - 1] - test[chosen].mean()) <= 4.5 * error + 1e-9


def test_chances_are_the_binomials_of_scipy_and_add_up_for_a_thousand_cells() -> None:
    r, k = np.arange(30)[:, None], np.arange(1, 31)
    assert best_of(30) == pytest.approx(comb(29 - r, k - 1) / comb(30, k), rel=1e-12)
    many = best_of(1000)
    assert np.isfinite(many).all()
    assert many.sum(axis=0) == pytest.approx(np.ones(1000), rel=1e-11)
    assert (many[0, -1], many[1:, -1].sum()) == (1.0, 0.0)


def test_the_other_seeds_report_the_cell_that_one_seed_chose() -> None:
    rows = [*cells([1, 2], [1.0, 5.0], 0), *cells([3, 1], [9.0, 6.0], 1), *cells([1, 2], [4.0, 8.0], 2)]
    # Seeds 0 and 2 choose the first cell, which the others report with (9 + 4) / 2 and (1 + 9) / 2; 1 the second.
    best = (6.5 + 5.0 + (5.0 + 8.0) / 2) / 3
    found = curves(rows)["AdamW"]
    assert found.mean == pytest.approx([np.mean([1, 5, 9, 6, 4, 8]), best])
    assert (found.seeds, found.replicates, len(found.cells)) == (3, (0,), 2)


def test_one_seed_reports_itself() -> None:
    assert curves(cells([1, 2], [1.0, 5.0]))["AdamW"].mean == pytest.approx([3.0, 1.0])


def test_equal_validation_errors_are_decided_by_the_loss() -> None:
    rows = cells([2.0, 2.0], [7.0, 3.0])
    rows = [{**row, "val_loss": loss} for row, loss in zip(rows, (0.2, 0.1), strict=True)]
    assert curves(rows)["AdamW"].mean[-1] == 3.0


def test_a_diverged_run_counts_as_chance_and_a_failed_one_not_at_all() -> None:
    rows = [*cells([1, 2], [1.0, 5.0]), trial("adamw", 1e-3, 5.0, 0, status="diverged")]
    assert curves(rows)["AdamW"].mean[0] == pytest.approx((1 + 5 + 90) / 3)
    rows.append(trial("adamw", 1e-3, 6.0, 0, status="failed"))
    assert curves(rows)["AdamW"].mean[0] == pytest.approx((1 + 5 + 90) / 3)


def test_where_a_loss_decides_a_diverged_cell_costs_everything_until_it_cannot_be_the_best() -> None:
    text = {"settings": {"dataset": "text"}}
    rows = [trial("adamw", 1e-3, 0.01 * 2**i, 0, error=e, dataset="text", **text) for i, e in enumerate((3.0, 6.0))]
    rows.append(trial("adamw", 1e-3, 5.0, 0, status="diverged", dataset="text", **text))
    found = curves(rows)["AdamW"]
    assert found.mean[0] == math.inf
    assert found.mean[1] == pytest.approx((2 * 3.0 + 6.0) / 3 / 28)
    assert found.mean[2] == pytest.approx(3.0 / 28)
    assert np.isnan(found.low[0])
    assert np.isnan(found.high[0])


def test_no_decay_has_a_curve_of_its_own_and_a_part_in_no_other() -> None:
    with_zero = curves(search())
    assert {arm: len(curve.cells) for arm, curve in with_zero.items()} == {
        "Adam, no decay": 5,
        "Adam + L2": 25,
        "AdamW": 25,
    }
    decayed = curves([row for row in search() if row["wd"]])
    assert with_zero["AdamW"].mean == pytest.approx(decayed["AdamW"].mean)
    assert with_zero["Adam + L2"].mean == pytest.approx(decayed["Adam + L2"].mean)


def test_cells_that_were_added_around_a_winner_are_not_drawn() -> None:
    rows = [*cells([1, 2], [1.0, 5.0]), trial("adamw", 1e-3, 0.014, 0, phase="refine", error=0.5)]
    assert curves(rows)["AdamW"].mean == pytest.approx([3.0, 1.0])


def test_cells_without_all_seeds_wait_and_a_single_cell_has_no_curve() -> None:
    rows = [*cells([1, 2, 3], [1, 5, 6], 0), *cells([1, 2], [1, 5], 1)]
    assert len(curves(rows)["AdamW"].cells) == 2
    assert curves(cells([1], [1])) == {}


def test_replicates_are_averaged_and_one_that_is_not_complete_waits() -> None:
    parts = [cells([1, 2], [1.0, 5.0], 0), cells([2, 1], [3.0, 8.0], 1), cells([2], [70.0], 2)]
    rows = [{**row, "replicate": number} for number, part in enumerate(parts) for row in part]
    found = curves(rows)["AdamW"]
    assert found.by_replicate == pytest.approx(np.array([[3.0, 1.0], [5.5, 8.0]]))
    assert found.mean == pytest.approx([4.25, 4.5])
    # Student's t over the two: 12.7 times half their distance.
    assert found.high - found.mean == pytest.approx(12.7062 * np.array([1.25, 3.5]), rel=1e-5)
    assert found.replicates == (0, 1)


def test_cells_of_one_replicate_alone_are_not_drawn() -> None:
    parts = [cells([1, 2, 3], [1.0, 5.0, 6.0], 0), cells([2, 1, 3], [3.0, 8.0, 7.0], 1)]
    parts.append(cells([1, 2, 3, 0.5], [2.0, 4.0, 5.0, 1.0], 2))
    found = curves([{**row, "replicate": number} for number, part in enumerate(parts) for row in part])["AdamW"]
    assert found.replicates == (0, 1, 2)
    assert len(found.cells) == 3
    assert found.by_replicate[:, -1] == pytest.approx([1.0, 8.0, 2.0])


def test_a_band_of_equal_cells_is_a_line_and_is_the_same_each_time() -> None:
    flat = curves(cells([3.0] * 5, [3.0] * 5))["AdamW"]
    assert flat.low == pytest.approx(flat.high)
    one, again = (curves(search())["AdamW"] for _ in range(2))
    assert (one.low == again.low).all()
    assert (one.low < one.mean).all()
    assert (one.mean < one.high).all()


def test_resampling_agrees_with_one_by_one() -> None:
    """Each draw is the curve of a multiset of cells, averaged over drawn seeds: here for a draw that is known."""
    random = np.random.default_rng(5)
    errors = random.uniform(1, 9, (3, 12))
    rank = np.argsort(np.argsort(random.uniform(size=(3, 12)), axis=1), axis=1)
    by_rank = np.take_along_axis(errors, np.argsort(rank, axis=1), axis=1)
    drawn = resampled(Ranked((), rank, by_rank), best_of(12), 4)
    seeds = np.random.default_rng(0).multinomial(3, np.full(3, 1 / 3), 1000)
    which = np.random.default_rng([1, 4]).integers(0, 12, (1000, 12))
    for b in (0, 17, 999):
        of_seeds = []
        for s in range(3):
            ordered = sorted(which[b], key=lambda cell: rank[s, cell])
            of_seeds.append(expected(errors[s, ordered], best_of(12)))
        assert drawn[b] == pytest.approx(np.average(of_seeds, axis=0, weights=seeds[b]))


@pytest.mark.parametrize(("n_seeds", "least"), [(1, 0.75), (3, 0.86)])
def test_the_band_of_one_replicate_holds_the_truth_of_cells_drawn_at_random(n_seeds: int, least: float) -> None:
    """300 made-up searches of 49 cells with noise of cells, runs and seeds; the truth is the mean of 4,000 others."""
    random, chances = np.random.default_rng(11), best_of(49)

    def searched() -> Ranked:
        x, y = random.uniform(-6, 6, (2, 49))
        level = np.log(3) + 0.08 * x**2 + 0.05 * (y + 0.8 * x) ** 2 + 0.03 * random.standard_normal((n_seeds, 1))
        run = level + 0.1 * random.standard_normal((n_seeds, 49))
        order = np.argsort(run + 0.15 * random.standard_normal(run.shape), axis=1)
        error = np.minimum(np.exp(run), 90)  # chance
        others = (error.sum(axis=0) - error) / (n_seeds - 1) if n_seeds > 1 else error
        return Ranked((), np.argsort(order, axis=1), np.take_along_axis(others, order, axis=1))

    def curve(one: Ranked) -> np.ndarray:
        return expected(one.error.mean(axis=0), chances)

    truth = np.mean([curve(searched()) for _ in range(4000)], axis=0)
    held = []
    for _ in range(300):
        one = searched()
        low, high = band(curve(one)[None], resampled(one, chances, 0))
        held.append((low <= truth) & (truth <= high))
    share = np.mean(held, axis=0)
    assert share.min() >= least
    assert share.max() <= 0.995  # nor is it so wide that it says nothing


def test_an_octave_counts_as_one() -> None:
    assert over_log2(np.full(50, 3.0)) == pytest.approx(3.0)
    assert over_log2(np.log2(np.arange(1, 65))) == pytest.approx(3.0)  # from 0 to 6 in equal steps per octave
    assert over_log2(np.array([[4.0, 2.0], [1.0, 1.0]])) == pytest.approx([3.0, 1.0])
