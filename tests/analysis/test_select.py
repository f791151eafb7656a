"""Claims about selection: by validation over the search seeds, never by test, within one block."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from runner.analysis.blocks import replicates, split
from runner.analysis.results import results
from runner.analysis.select import WINNER_COLUMNS, cells, replicated, winners
from runner.records.schema import TRIALS
from runner.report.plots.heatmap import best_cells, maps
from tests.report import studies
from tests.report.studies import search, trial


def frame(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=TRIALS).assign(note="", torch="")


def winner(rows: Sequence[Mapping[str, object]], arm: str) -> pd.Series:
    table = winners(frame(rows))
    assert list(table["arm"]).count(arm) == 1
    return table[table["arm"] == arm].iloc[0]


def test_the_known_best_cell_of_each_arm_wins() -> None:
    table = winners(frame(search(seeds=(0, 1, 2)))).set_index("arm")
    assert list(table.index) == ["Adam, no decay", "Adam + L2", "AdamW"]
    assert tuple(table.loc["AdamW", ["lr", "wd"]]) == (1e-3, 0.1)
    assert tuple(table.loc["Adam, no decay", ["lr", "wd"]]) == (1e-3, 0.0)
    assert table.loc["AdamW", "seeds"] == (0, 1, 2)
    assert table.loc["AdamW", "cells"] == 25
    assert table.loc["AdamW", "trials"] == 75
    assert not table["on_edge"].any()


def test_selection_never_looks_at_test() -> None:
    rows = search()
    liar = [row | {"test_error": -float(str(row["test_error"])), "test_loss": 0.0} for row in rows]
    assert winners(frame(rows)).equals(winners(frame(liar)))
    blind = [row | {"test_error": None, "test_loss": None} for row in rows]
    assert winners(frame(rows)).equals(winners(frame(blind)))


def test_the_representative_trial_is_the_winners_row_with_the_smallest_seed() -> None:
    rows = search(seeds=(7, 3, 5))
    best = winner(rows, "AdamW")
    found = next(row for row in rows if row["trial"] == best["trial"])
    assert (found["lr"], found["wd"], found["seed"]) == (best["lr"], best["wd"], 3)


def test_ties_go_to_the_smaller_loss_then_the_smaller_lr() -> None:
    tied = [trial("adam", lr, 0.1, seed, error=5) for lr in (0.1, 0.2, 0.3, 0.4) for seed in (0, 1)]
    assert winner(tied, "Adam + L2")["lr"] == 0.1
    better = [row | {"val_loss": 0.01} if row["lr"] == 0.3 else row for row in tied]
    assert winner(better, "Adam + L2")["lr"] == 0.3


def test_means_that_differ_by_rounding_alone_are_a_tie() -> None:
    values = {0.1: (0.3, 0.3, 0.3), 0.2: (0.1, 0.2, 0.6)}
    rows = [
        trial("adam", lr, 0.1, seed, error=e, val_loss=1.0)
        for lr, errors in values.items()
        for seed, e in enumerate(errors)
    ]
    assert winner(rows, "Adam + L2")["lr"] == 0.1


def test_a_diverged_seed_counts_as_chance_and_is_not_dropped() -> None:
    rows = [trial("adamw", 0.1, 0.1, 0, error=1), trial("adamw", 0.1, 0.1, 1, status="diverged")]
    rows += [trial("adamw", 0.2, 0.1, seed, error=9) for seed in (0, 1)]
    best = winner(rows, "AdamW")
    assert best["lr"] == 0.2
    table = cells(split(frame(rows))[0]).sort_values("lr")
    assert table["score"].tolist() == pytest.approx([(1 + 90) / 2, 9])
    assert table["n_seeds"].tolist() == [2, 2]
    # Nor is its cell out: chance half the time may be the best there is.
    worse = [row | {"val_error": 60.0} if row["lr"] == 0.2 else row for row in rows]
    assert winner(worse, "AdamW")["lr"] == 0.1


def test_a_cell_that_lacks_seeds_is_judged_on_those_that_it_shares() -> None:
    rows = [trial("adamw", 0.1, 0.1, 0, error=1), trial("adamw", 0.1, 0.1, 1, status="failed")]
    rows += [trial("adamw", 0.2, 0.1, seed, error=9) for seed in (0, 1)]
    best = winner(rows, "AdamW")
    assert (best["lr"], best["complete_cells"], best["cells"]) == (0.1, 1, 2)
    assert (best["seeds"], best["score"]) == ((0,), 1.0)
    worse = [row | {"val_error": 10.0} if row["status"] == "ok" and row["lr"] == 0.1 else row for row in rows]
    assert winner(worse, "AdamW")["lr"] == 0.2


def test_a_stray_seed_does_not_empty_the_table() -> None:
    rows = [*search(), trial("adamw", 0.5, 0.5, 99, error=0.1)]
    best = winner(rows, "AdamW")
    assert (best["lr"], best["wd"], best["seeds"]) == (1e-3, 0.1, (0, 1))


def test_cells_that_tell_the_noise_of_a_map_are_spread_over_the_good_ones() -> None:
    rows = [trial("adamw", 0.1 * i, 0.1, 0, error=error) for i, error in enumerate((1.0, 1.2, 1.4, 2.0, 2.1), 1)]
    (block,) = split(frame(rows))
    ids = [str(row["trial"]) for row in rows]
    assert replicated(block, 0) == []
    assert replicated(block, 2) == [ids[0], ids[2]]
    assert replicated(block, 4) == ids[:4]
    assert replicated(block, 9) == ids[:4]  # none of more than twice the best error


def test_final_rows_take_no_part_in_the_selection() -> None:
    rows = search()
    fresh = [trial("adamw", 1e-4, 0.01, seed, phase="final", error=0.01) for seed in (100, 101)]
    assert winners(frame(rows)).equals(winners(frame([*rows, *fresh])))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("validation", [False, True])
def test_text_is_selected_by_loss_and_no_validation_split_means_test(text: bool, validation: bool) -> None:
    by = {"val_error": 1.0, "val_loss": 2.0, "test_error": 3.0, "test_loss": 4.0}
    expected = ("val" if validation else "test") + ("_loss" if text else "_error")
    rows = []
    lrs = dict(zip(by, (0.1, 0.2, 0.3, 0.4), strict=True))
    for name, lr in lrs.items():
        row = trial("adamw", lr, 0.1, 0) | dict.fromkeys(by, 50.0) | {name: 1.0}
        row |= {"dataset": "text" if text else "digits", "val_size": 499 if validation else 0}
        rows.append(row if validation else row | {"val_error": None, "val_loss": None})
    best = winner(rows, "AdamW")
    assert best["selected_by"] == expected
    assert best["lr"] == lrs[expected]


def test_a_diverged_run_is_infinitely_bad_where_a_loss_decides() -> None:
    rows = [trial("adamw", 0.1, 0.1, 0, status="diverged"), trial("adamw", 0.2, 0.1, 0, error=50)]
    best = winner([row | {"dataset": "text"} for row in rows], "AdamW")
    assert best["lr"] == 0.2
    only = winner([row | {"dataset": "text"} for row in rows[:1]], "AdamW")
    assert math.isinf(only["score"])


def test_a_run_counts_by_its_status_and_its_number() -> None:
    rows = [trial("adamw", 0.2, 0.1, 0, error=9), trial("adamw", 0.3, 0.1, 0, val_error=math.nan)]
    rows += [trial("adamw", 0.1, 0.1, 0, status="failed", val_error=1.0)]
    best = winner(rows, "AdamW")
    assert (best["lr"], best["complete_cells"], best["cells"]) == (0.2, 1, 3)
    assert winners(frame(rows[1:])).empty


def test_blocks_are_not_mixed() -> None:
    good = search(settings={"model.width": 8})
    bad = search(settings={"model.width": 16}, error=lambda *cell: 50 + studies.truth(*cell))
    table = winners(frame([*bad, *good]))
    assert len(table) == 6
    blocks = split(frame([*bad, *good]))
    assert list(table["block"]) == [block.id for block in blocks for _ in block.arms]
    assert list(dict.fromkeys(table["block_label"])) == ["model.width=16", "model.width=8"]
    assert (table.loc[table["block_label"] == "model.width=16", "score"] > 50).all()
    columns = ["arm", "lr", "wd", "score", "trials", "cells", "seeds"]
    mine = table.loc[table["block_label"] == "model.width=8", columns].reset_index(drop=True)
    assert mine.equals(winners(frame(good))[columns])


def test_a_blocks_id_does_not_depend_on_the_others() -> None:
    one, two = search(settings={"model.width": 8}), search(settings={"schedule": "step"})
    ids = [block.id for block in split(frame([*one, *two]))]
    assert ids == [block.id for rows in (one, two) for block in split(frame(rows))]
    assert len(set(ids)) == 2


def test_optimizer_settings_do_not_make_blocks_but_cells() -> None:
    rows = [
        trial("adamw", 0.1, 0.1, 0, error=5),
        trial("adam", 0.1, 0.1, 0, settings={"optimizer.decay_params": "all"}),
    ]
    rows += [trial("adamw", 0.1, 0.1, 0, error=4, settings={"optimizer.beta2": 0.95})]
    assert len(split(frame(rows))) == 1
    best = winner(rows, "AdamW")
    assert (best["hyper"], best["cells"], best["score"]) == ("beta2=0.95", 2, 4.0)


def test_several_conventions_are_several_arms_that_name_theirs() -> None:
    rows = [*search(), *(trial("adamw", 1e-3, wd, 0, wd_convention="paper") for wd in studies.WDS["paper"])]
    rows += [trial("adamw", 1e-3, wd, 1, wd_convention="paper") for wd in studies.WDS["paper"]]
    assert list(winners(frame(rows))["arm"]) == ["Adam, no decay", "Adam + L2", "AdamW (paper)", "AdamW (torch)"]


def test_wd_0_is_shared_by_both_maps() -> None:
    block = split(frame(search()))[0]
    left, right = maps(block)
    assert (left.arm, right.arm) == ("Adam + L2", "AdamW")
    zero = [map_.cells[map_.cells["wd"] == 0] for map_ in (left, right)]
    assert len(zero[0]) == 5
    assert set(zero[0]["trial"]) == set(zero[1]["trial"])
    assert set(zero[0]["optimizer"]) == {"adam"}
    assert len(left.cells) == len(right.cells) == 30


def test_ten_best_cells_are_circled_or_the_best_third_of_a_small_map() -> None:
    big, small = (maps(split(frame(search(lrs=studies.LRS[:n])))[0])[1] for n in (5, 2))
    assert len(best_cells(big)) == 10
    assert len(best_cells(small)) == 4
    assert best_cells(big).iloc[0]["score"] == big.cells["score"].min()


def test_an_empty_study_has_no_winner() -> None:
    table = winners(frame([]))
    assert table.empty
    assert list(table.columns) == list(WINNER_COLUMNS)
    assert winners(frame([trial("sgd", 0.1, 0.0, s, status="failed") for s in (0, 1)])).empty


def test_selecting_imports_neither_torch_nor_matplotlib() -> None:
    code = "import sys, runner.analysis.select; print(sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_cell_where_nothing_converged_is_best_only_where_none_is_better() -> None:
    blind = [trial("adamw", 0.1, 0.1, seed, error=91) for seed in (0, 1)]  # worse than chance
    diverged = [trial("adamw", 0.5, 0.1, seed, error=90, status="diverged") for seed in (0, 1)]
    assert winner(blind + diverged, "AdamW")["lr"] == 0.1
    assert winner(diverged, "AdamW")["lr"] == 0.5


def test_what_is_remembered_of_a_block_goes_with_it() -> None:
    """Else whatever reads many studies keeps all of their rows."""
    (block,) = split(frame(search()))
    results(block)
    assert replicates(block) == {0: block}
    gone = weakref.ref(block)
    del block
    gc.collect()
    assert gone() is None
