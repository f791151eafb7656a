"""Claims about the tables of selection, against pandas on made-up studies in which every cell has every seed."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.analysis.blocks import split
from runner.analysis.select import cells, replicated, search_seeds, winners
from tests.analysis.test_select import frame, winner
from tests.report.studies import trial

ARMS = {"adam": "Adam + L2", "adamw": "AdamW"}
CELL = ["arm", "lr", "wd"]
Grid = dict[tuple[str, float, float], list[tuple[int, str]]]

# Few different numbers, so that cells tie.
outcomes = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["ok", "ok", "diverged"])), min_size=3, max_size=3)
points = st.tuples(st.sampled_from(sorted(ARMS)), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.5, 1.5]))
grids = st.dictionaries(points, outcomes, min_size=1, max_size=8)


def rows_of(grid: Grid, seeds: tuple[int, ...] = (1000, 7, 33)) -> list[dict[str, object]]:
    return [
        trial(name, lr, wd, seed, status=status, error=error, val_loss=float((error + 1) % 3))
        for (name, lr, wd), runs in grid.items()
        for seed, (error, status) in zip(seeds, runs, strict=True)
    ]


def by_pandas(rows: list[dict[str, object]]) -> pd.DataFrame:
    """One row per cell, in the order in which cells are preferred; of a cell where all diverged the score is inf."""
    table = pd.DataFrame(rows).assign(arm=lambda t: t["optimizer"].map(ARMS), bad=lambda t: t["status"] != "ok")
    by_cell = table.sort_values("seed").groupby(CELL)
    found = by_cell.agg(
        score=("val_error", "mean"), tie=("val_loss", "mean"), trial=("trial", "first"), trials=("seed", "size"),
        diverged=("bad", "sum"),
    )  # fmt: skip
    key = found["score"].mask(found["diverged"] == found["trials"], math.inf).rename("key")
    return found.join(key.round(9)).reset_index().sort_values(["key", "tie", "lr", "wd"])


@settings(max_examples=25)
@given(grids)
def test_the_winner_is_the_first_by_mean_error_then_loss_then_rate_then_decay(grid: Grid) -> None:
    rows = rows_of(grid)
    expected = by_pandas(rows).groupby("arm").first()
    found = winners(frame(rows)).set_index("arm")
    assert set(found.index) == set(expected.index)
    for arm, best in expected.iterrows():
        mine = found.loc[arm]
        assert (mine["lr"], mine["wd"], mine["trial"]) == (best["lr"], best["wd"], best["trial"])
        assert (mine["score"], mine["tie_score"]) == pytest.approx((best["score"], best["tie"]))
        assert (mine["seeds"], mine["n_seeds"]) == ((7, 33, 1000), 3)


@settings(max_examples=25)
@given(grids)
def test_the_table_of_cells_is_that_of_pandas(grid: Grid) -> None:
    rows = rows_of(grid)
    (block,) = split(frame(rows))
    found, expected = (table.set_index(CELL).sort_index() for table in (cells(block), by_pandas(rows)))
    for mine, name in {"score": "score", "tie_score": "tie", "score_key": "key", "tie_key": "tie"}.items():
        np.testing.assert_allclose(found[mine].astype(float), expected[name].astype(float), atol=1e-9)
    for name in ("trials", "diverged", "trial"):
        assert found[name].tolist() == expected[name].tolist()
    assert found["complete"].all()
    assert (found["failed"] == 0).all()


@settings(max_examples=15)
@given(grids, st.integers(0, 9))
def test_cells_that_are_trained_again_are_spread_over_those_up_to_twice_the_best(grid: Grid, count: int) -> None:
    rows = rows_of(grid)
    (block,) = split(frame(rows))
    good = by_pandas(rows)
    good = good[good["score"] <= 2 * good["score"].min()].sort_values(["key", "tie", "arm", "lr", "wd"])
    wanted = min(count, len(good))
    places = [math.floor(i * len(good) / wanted) for i in range(wanted)]
    assert replicated(block, count) == good["trial"].iloc[places].tolist()


def test_failed_runs_are_counted_and_no_number_of_theirs() -> None:
    rows = [trial("adamw", 0.1, 0.5, seed, error=5) for seed in (0, 1, 2)]
    rows += [trial("adamw", 0.2, 0.5, seed, status="failed", val_error=1.0, val_loss=0.0) for seed in (0, 1)]
    rows += [trial("adamw", 0.2, 0.5, 2, status="diverged")]
    rows += [trial("adamw", 0.3, 0.5, seed, status="failed") for seed in (0, 1)]
    (block,) = split(frame(rows))
    found = cells(block).set_index("lr")
    assert found["failed"].to_dict() == {0.1: 0, 0.2: 2, 0.3: 2}
    assert found["trials"].to_dict() == {0.1: 3, 0.2: 3, 0.3: 2}
    assert found["complete"].to_dict() == {0.1: True, 0.2: False, 0.3: False}
    assert found["seeds"].to_dict() == {0.1: (0, 1, 2), 0.2: (2,), 0.3: ()}
    assert found["n_seeds"].to_dict() == {0.1: 3, 0.2: 1, 0.3: 0}
    assert found.loc[0.2, "trial"] == rows[5]["trial"]  # that of the first seed that counts
    assert found.loc[0.3, "trial"] == rows[6]["trial"]
    assert math.isnan(found.loc[0.3, "score"])
    assert found.loc[[0.2, 0.3], "score_key"].tolist() == [math.inf, math.inf]
    best = winner(rows, "AdamW")
    assert (best["trials"], best["cells"], best["complete_cells"]) == (8, 3, 1)
    (lacking,) = split(frame([trial("adamw", 0.1, 0.5, 0, val_loss=math.nan)]))
    assert cells(lacking)[["score", "tie_score", "tie_key"]].iloc[0].tolist() == pytest.approx(
        [5.0, math.nan, math.inf], nan_ok=True
    )
    nothing = cells(split(frame(rows[-2:]))[0])
    assert not nothing["complete"].any()


@settings(max_examples=15)
@given(grids, st.randoms(use_true_random=False))
def test_the_table_does_not_depend_on_the_order_of_the_rows(grid: Grid, rng: random.Random) -> None:
    rows = [row | ({"status": "failed"} if row["val_error"] == 3 else {}) for row in rows_of(grid)]
    (one,), (other,) = split(frame(rows)), split(frame(rng.sample(rows, len(rows))))
    pd.testing.assert_frame_equal(cells(one), cells(other))


def test_the_table_of_no_search_has_the_same_columns_of_the_same_kinds() -> None:
    full, empty = (cells(split(frame([trial("adamw", 0.1, 0.5, 0, phase=phase)]))[0]) for phase in ("search", "final"))
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == 0
    for name in ("lr", "wd", "score", "tie_score", "score_key", "tie_key", "complete"):
        assert empty[name].dtype == full[name].dtype


def test_a_seed_that_no_choice_rests_on_is_told_apart() -> None:
    rows = [trial(name, lr, 0.5, seed) for name in ARMS for lr in (0.1, 0.2) for seed in (64, 1000, 3)]
    rows += [trial("adamw", 0.3, 0.5, seed) for seed in (2048, 33)]
    (block,) = split(frame(rows))
    assert search_seeds(block) == ([3, 64, 1000], [33, 2048])


def test_the_smaller_decay_wins_where_nothing_else_tells_cells_apart() -> None:
    rows = [trial("adamw", 0.1, wd, 0, error=5) for wd in (0.3, 0.1, 0.2)]
    assert winner(rows, "AdamW")["wd"] == 0.1


def test_of_two_rows_of_one_run_that_whose_number_counts_is_named() -> None:
    """As where a study's rows were copied behind those of another: the ids differ, the cell and the seed do not."""
    twice = [trial("adamw", 0.1, 0.5, 0, error=error, steps=steps) for error, steps in ((5, 1), (3, 2), (4, 3))]
    for rows in (twice, twice[::-1]):
        best = winner(rows, "AdamW")
        named = next(row for row in rows if row["trial"] == best["trial"])
        assert (best["score"], best["tie_score"]) == (named["val_error"], named["val_loss"])
        table = cells(split(frame(rows))[0])
        assert list(table["trial"]) == [best["trial"]]
        assert list(table["trials"]) == [3]


def test_cells_that_are_trained_again_are_spread_exactly() -> None:
    """A float's step would take the fourteenth cell for the fifteenth of thirty."""
    many = [trial("adamw", 1 + lr / 100, 0.5, 0, error=5 + lr / 100) for lr in range(30)]
    ids = [row["trial"] for row in many]
    (block,) = split(frame(many))
    for count in range(1, 31):
        assert replicated(block, count) == [ids[math.floor(Fraction(30 * i, count))] for i in range(count)]
