"""Claims about verdicts and tables: what is reported, when it stays undecided, what is said beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import EDGE, ONE_REPLICATE, OPTIMISTIC
from runner.report.generalization import generalization, markdown
from runner.report.terminal import terminal_table
from tests.analysis.test_select import frame
from tests.report import studies
from tests.report.studies import in_replicate, noise, replicated, search, trial

Rows = Sequence[dict[str, object]]
FRESH = range(100, 105)


def reported(rows: Rows) -> list[BlockResults]:
    return [results(block) for block in split(frame(rows))]


def by_arm(rows: Rows) -> dict[str, ArmResult]:
    return {result.arm: result for one in reported(rows) for result in one.arms}


def bowl(optimizer: str, lr: float, wd: float, seed: int) -> float:
    """The winner is in the middle of every grid."""
    wds = (0.0, *studies.WDS["torch" if optimizer.endswith("w") else "l2"])
    return 5.0 + abs(studies.LRS.index(lr) - 2) + 0.5 * abs(wds.index(wd) - 3)


def with_finals(
    gain: float, spread: float, rows: Rows | None = None, seeds: Sequence[int] = FRESH
) -> list[dict[str, object]]:
    """The bowl, and fresh runs in which AdamW's test error is `gain` higher than that of Adam + L2, ± spread."""
    cells = [("adam", 1e-3, 0.0, 0.2), ("adam", 1e-3, 1e-3, 0.0), ("adamw", 1e-3, 0.1, gain)]
    return [*(search(error=bowl) if rows is None else rows)] + [
        trial(name, lr, wd, seed, phase="final", error=5 + noise(seed) + more + spread * noise(name, wd, seed))
        for name, lr, wd, more in cells
        for seed in seeds
    ]


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"), [(-0.5, 0.1, "lower"), (0.5, 0.1, "higher"), (-0.05, 0.5, "undecided")]
)
def test_verdict_comes_out_each_way(gain: float, spread: float, verdict: str) -> None:
    found = by_arm(replicated(with_finals(gain, spread)))["AdamW"]
    assert found.verdict == verdict
    assert found.difference is not None
    assert found.phase == "final"
    assert found.replicates == tuple(range(len(FRESH)))
    interval = found.difference.difference
    assert (interval.low <= 0 <= interval.high) == (verdict == "undecided")


def test_one_replicate_has_no_verdict_however_clear_its_seeds_are() -> None:
    found = by_arm(with_finals(-0.5, 0.01))["AdamW"]
    assert found.verdict == ONE_REPLICATE
    assert found.difference is not None
    assert found.difference.difference.high < 0


def test_an_arms_number_is_the_mean_over_replicates_of_the_mean_over_their_fresh_seeds() -> None:
    """Against pandas: replicates with more fresh seeds count no more than others, and each has its own winner."""
    rows = replicated(with_finals(-0.5, 0.4))
    more = [in_replicate(row, 2) for row in with_finals(-0.1, 0.4, [], seeds=(300, 301, 302))]
    elsewhere = [row | {"val_error": 0.1} for row in rows if cell(row) == ("adamw", 3e-3, 0.3, 1)]
    own = [in_replicate(trial("adamw", 3e-3, 0.3, seed, phase="final", error=9.0), 1) for seed in (400, 401)]
    kept = [row for row in rows if cell(row) != ("adamw", 3e-3, 0.3, 1)]
    rows = kept + more + elsewhere + own
    found = by_arm(rows)["AdamW"]
    finals = pd.DataFrame([row for row in rows if row["phase"] == "final" and row["optimizer"] == "adamw"])
    won = finals[(finals["replicate"] != 1) | (finals["lr"] == 3e-3)]
    means = won.groupby("replicate")["test_error"].mean()
    assert found.by_unit("test_error") == pytest.approx(means.to_dict())
    assert found.values["test_error"].mean == pytest.approx(means.mean())
    assert found.values["test_error"].std == pytest.approx(means.std())
    assert found.difference is not None
    assert found.difference.difference.n == 5
    (block,) = reported(rows)
    assert block.won("AdamW") == {(1e-3, 0.1): 4, (3e-3, 0.3): 1}


def cell(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["optimizer"], row["lr"], row["wd"], row["replicate"]


def test_a_winner_on_the_edge_leaves_the_comparison_undecided_unless_it_is_ahead() -> None:
    inner = [row for row in search(error=bowl) if row["optimizer"] == "adam" or float(str(row["lr"])) >= 1e-3]
    for gain, verdict in ((-0.5, "lower"), (0.5, EDGE)):
        found = by_arm(replicated(with_finals(gain, 0.1, inner)))
        assert found["AdamW"].edge == "lr smallest"
        assert found["AdamW"].verdict == verdict
    inner = [row for row in search(error=bowl) if row["optimizer"] == "adamw" or float(str(row["lr"])) >= 1e-3]
    found = by_arm(replicated(with_finals(-0.5, 0.1, inner)))
    assert found["Adam + L2"].edge == "lr smallest"
    assert found["AdamW"].verdict == EDGE


def test_one_seed_gives_no_interval_and_a_warning() -> None:
    rows = with_finals(-0.5, 0.1, seeds=(100,))
    found = by_arm(rows)["AdamW"]
    assert found.verdict == ONE_REPLICATE
    assert math.isnan(found.values["test_error"].low)
    table = reported(rows)
    assert "One seed only" in markdown(table)
    assert "one seed" in terminal_table(table)
    row = generalization(table).set_index("arm").loc["AdamW"].to_dict()
    assert row["n"] == 1
    assert math.isnan(row["test_error_low"])
    assert math.isnan(row["difference_low"])


def test_equal_differences_over_all_seeds_are_no_proof() -> None:
    rows = [row | {"test_error": 4.0 if row["optimizer"] == "adamw" else 5.0} for row in with_finals(-0.5, 0.1)]
    assert by_arm(replicated(rows))["AdamW"].verdict == "undecided (no spread over replicates)"


def test_a_diverged_fresh_run_counts_at_chance_and_a_failed_one_is_counted_apart() -> None:
    rows = with_finals(-0.5, 0.1, seeds=(100, 101, 102))
    rows += [trial("adamw", 1e-3, 0.1, 103, phase="final", status="diverged")]
    rows += [trial("adamw", 1e-3, 0.1, 104, phase="final", status="failed")]
    found = by_arm(rows)["AdamW"]
    assert (found.n, found.diverged, found.failed) == (4, 1, 1)
    assert found.values["test_error"].mean > 25
    assert math.isnan(found.values["test_loss"].mean)
    text = markdown(reported(rows))
    assert "1 of 4" in text
    assert "1 of 5" in text
    assert "Seeds 103 have no partner" in text


def test_selected_on_test_is_said_everywhere_and_gets_no_verdict() -> None:
    rows = [row | {"val_size": 0, "val_error": None, "val_loss": None} for row in with_finals(-0.5, 0.1)]
    table = reported(rows)
    assert by_arm(rows)["AdamW"].verdict == "no verdict (selected on test)"
    text = markdown(table)
    heads = [line for line in text.splitlines() if line.startswith(("## resnet", "| arm | verdict"))]
    assert len(heads) == 2
    assert all("selected on test" in line for line in heads)
    assert "selected on test" in terminal_table(table).splitlines()[0]
    assert generalization(table)["remark"].str.contains("selected on test").all()


def test_selected_on_test_is_not_said_with_a_validation_split() -> None:
    assert "selected on test" not in markdown(reported(with_finals(-0.5, 0.1)))


def test_one_cell_each_was_not_selected_and_can_be_compared() -> None:
    rows = [
        trial(name, 1e-3, 0.1, seed, error=error + 0.1 * noise(name, seed))
        for name, error in (("adam", 5), ("adamw", 4))
        for seed in range(5)
    ]
    found = by_arm(replicated(rows))["AdamW"]
    assert found.verdict == "lower"
    assert OPTIMISTIC not in found.remark
    assert found.not_searched == "lr wd"
    assert "holds for these values of lr and wd only" in markdown(reported(rows))


def test_sgd_arms_are_compared_with_sgd_and_l2() -> None:
    found = by_arm(search(("adam", "adamw", "sgd", "sgdw")))
    assert found["SGDW"].reference == "SGD + L2"
    assert found["SGD + L2"].difference is None
    assert found["SGDW"].difference is not None
    assert found["AdamW"].reference == "Adam + L2"


def test_a_study_of_failed_trials_says_so() -> None:
    rows = [trial("adamw", lr, 0.1, 0, status="failed") for lr in (0.1, 0.2)]
    table = reported(rows)
    assert "all 2 trials failed" in terminal_table(table)
    assert "all 2 trials failed" in markdown(table)
    assert generalization(table).iloc[0]["search_failed"] == 2


def test_a_partial_search_tells_how_many_cells_have_all_seeds() -> None:
    assert "AdamW 20 of 25" in markdown(reported(search()[:-5]))


def test_a_stray_seed_is_named() -> None:
    assert "Search seeds 99 are left out" in markdown(reported([*search(), trial("adamw", 0.5, 0.5, 99)]))


@pytest.mark.parametrize("size", [None, 500])
def test_what_one_test_example_is_worth(size: int | None) -> None:
    extra = {} if size is None else {"dataset.test_size": size}
    text = markdown(reported([trial("adamw", 0.1, 0.1, s, error=2.0, settings=extra) for s in (0, 1)]))
    assert f"One of the {size or 898} test examples is worth {100 / (size or 898):.3f} points" in text


def test_an_unknown_test_size_leaves_the_sampling_interval_out() -> None:
    rows = [trial("adamw", 0.1, 0.1, s, settings={"dataset": "cifar10"}) for s in (0, 1)]
    table = reported(rows)
    assert "Wilson" not in markdown(table)
    assert generalization(table)["sampling_low"].isna().all()


def test_epochs_to_target_are_averaged_over_the_runs_that_reached_it() -> None:
    rows = [trial("adamw", 0.1, 0.1, s, epochs_to_target=value) for s, value in enumerate((4, 8, None))]
    assert "6.0 (2 of 3)" in markdown(reported(rows))


def test_a_run_that_never_reached_the_target_is_known_to_have_not_and_is_not_left_out_of_its_replicate() -> None:
    epochs = {0: 4, 1: 8, 2: None}
    rows = [trial("adamw", 0.1, 0.1, s, epochs_to_target=value) for s, value in epochs.items()]
    assert by_arm(rows)["AdamW"].by_unit("epochs_to_target") == pytest.approx({0: 4, 1: 8, 2: math.nan}, nan_ok=True)
    both = [in_replicate(row, number) for number in (0, 1) for row in rows[number:]]
    both = [row for row in both if row["seed"] != 2]
    found = by_arm(both)["AdamW"]
    assert found.by_unit("epochs_to_target") == pytest.approx({0: 6, 1: math.nan}, nan_ok=True)
    assert (found.values["epochs_to_target"].mean, found.values["epochs_to_target"].n) == (6, 1)


@pytest.mark.parametrize("dataset", ["digits", "text"])
def test_the_terminal_table_fits_100_columns(dataset: str) -> None:
    rows = [
        row | {"dataset": dataset}
        for row in search(("adam", "adamw", "sgd", "sgdw"), error=lambda *cell: 60 + 30 * noise(cell))
    ]
    rows += [row | {"dataset": dataset} for row in search(settings={"model.width": 8, "schedule": "step"})]
    rows += [
        trial("adamw", 1.2345678e-4, 3.125e-5, s, wd_convention="normalized", error=0.01, dataset=dataset)
        for s in (0, 1)
    ]
    text = terminal_table(reported(rows))
    assert max(map(len, text.splitlines())) <= 100
    assert "no verdict" in text
    table = [line for line in text.splitlines() if line.startswith("AdamW (normalized)")]
    assert len(table) == 1
    assert len(table[0].split()) >= 8


def test_wide_figures_lose_no_letter_on_the_terminal() -> None:
    rows = [trial("adam", 0.1, 0.1, s, error=10 + 70 * s) for s in (0, 1)]
    rows += [trial("adamw", 0.1, 0.1, s, error=80 - 60 * s) for s in (0, 1)]
    line = next(line for line in terminal_table(reported(rows)).splitlines() if line.startswith("AdamW"))
    assert line.endswith(" no verdict")
