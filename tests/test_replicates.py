"""Claims about commands with replicates: what they train, what they add, when they stop. Each trains tiny networks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from runner.config.settings import SEEDS_APART
from runner.records.schema import TIMING
from tests.damage import Said, command

SMALL = ("model.width=4", "dataset.train=60", "dataset.test=1500", "study=s", "workers=1", "exact=true")
ARMS = ("-m", "optimizer=adam,adamw", "lr=0.01", "wd=0,50", "reference=adam", "epochs=3", *SMALL)
GRID = ("-m", "optimizer=adam,adamw", "lr=0.01,0.04,0.16", "wd=0.001,0.004,0.016", "wd_convention=paper", *SMALL)
GRID = (*GRID, "epochs=1", "seed=0,1", "final_seeds=1")


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "s" / "trials.csv").sort_values("trial").reset_index(drop=True)


def done(said: Said) -> str:
    assert said.code == 0, said.text
    return said.out


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two replicates that became one of three."""
    folder = tmp_path_factory.mktemp("grown")
    done(command(folder, *ARMS, "replicates=2"))
    before = rows(folder)
    assert before.groupby("replicate")["trial"].count().to_dict() == {0: 3, 1: 3}
    said = done(command(folder, *ARMS, "replicates=3"))
    assert "3 search trials (6 of 9 already done)" in said
    kept = rows(folder).merge(before[["trial"]])
    pd.testing.assert_frame_equal(kept[before.columns], before)
    return folder


def test_more_replicates_add_trials_and_keep_those_that_there_are(grown: Path) -> None:
    frame = rows(grown)
    assert frame.groupby("replicate")["seed"].unique().map(list).to_dict() == {
        number: [number * SEEDS_APART] for number in range(3)
    }
    assert (frame["replicate"] == frame["split"]).all()
    assert "already done: all 9 trials" in done(command(grown, *ARMS, "replicates=3"))


def test_replicates_that_were_added_after_a_report_are_judged_as_looked_at(grown: Path) -> None:
    text = (grown / "results" / "s" / "generalization.md").read_text()
    assert "Replicates were added while others could be seen" in text
    assert "undecided (3 replicates; 4 are needed)" in text


@pytest.fixture(scope="module")
def sure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AdamW with a decay that leaves nothing of a weight, until it is sure that this is worse than no decay."""
    folder = tmp_path_factory.mktemp("sure")
    done(command(folder, *ARMS, "replicates=auto", "max_replicates=12"))
    return folder


def test_auto_stops_as_soon_as_it_is_sure_and_says_what_of(sure: Path) -> None:
    frame = rows(sure)
    assert 5 <= frame["replicate"].nunique() < 12
    said = done(command(sure, *ARMS, "replicates=auto", "max_replicates=12"))
    assert "AdamW generalizes worse than Adam, no decay, over random splits of these 1,797 images" in " ".join(
        said.split()
    )
    assert len(rows(sure)) == len(frame)


def test_a_level_that_is_named_after_the_first_rows_is_refused_in_one_line(sure: Path) -> None:
    said = command(sure, *ARMS, "replicates=auto", "alpha=0.2")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "alpha=0.2: the study's first command has laid down alpha=0.05, which holds" in said.err


def test_auto_that_was_stopped_and_goes_on_ends_with_the_same_rows(tmp_path: Path) -> None:
    alike = ("-m", "optimizer=adam,adamw", "lr=0.01", "wd=0.001", "epochs=1", "equal_within=0.001", *SMALL)
    for folder, counts in ((tmp_path / "one", (6,)), (tmp_path / "two", (5, 6))):
        folder.mkdir()
        for count in counts:
            done(command(folder, *alike, "replicates=auto", f"max_replicates={count}"))
    frames = [rows(tmp_path / name).drop(columns=[*TIMING]) for name in ("one", "two")]
    pd.testing.assert_frame_equal(*frames)
    assert frames[0]["replicate"].nunique() in (5, 6)


def test_auto_that_was_stopped_between_the_fresh_runs_of_a_replicate_finishes_it(tmp_path: Path) -> None:
    """The arm without them was called stuck, and no replicate was ever added again."""
    alike = ("-m", "optimizer=adam,adamw", "lr=0.01,0.02", "wd=0.001", "epochs=1", "equal_within=0.001", *SMALL)
    auto = (*alike, "final_seeds=1", "replicates=auto")
    done(command(tmp_path, *auto, "max_replicates=6"))
    before = rows(tmp_path)
    last = before[(before["phase"] == "final") & (before["replicate"] == before["replicate"].max())]
    (lost,) = last.loc[last["optimizer"] == "adam", "trial"]
    study = tmp_path / "results" / "s" / "trials.csv"
    study.write_text("".join(line for line in study.read_text().splitlines(keepends=True) if lost not in line))
    assert "5 of 6 fresh runs of Adam + L2 are there" in command(tmp_path, "results/s", module="runner.report").out
    done(command(tmp_path, *auto, "max_replicates=7"))
    assert lost in set(rows(tmp_path)["trial"])


def test_auto_does_not_go_on_for_what_other_commands_have_left_undecided(tmp_path: Path) -> None:
    """A learning rate of another command cannot be told apart; this one is sure, and adds nothing to that."""
    unsure = ("lr=0.01", "wd=0.001", "epochs=1", "equal_within=0.001", "replicates=auto", "max_replicates=5")
    unsure = (*unsure, "reference=adam")
    done(command(tmp_path, "-m", "optimizer=adam,adamw", *unsure, *SMALL))
    more = ("equal_within=0.001", "replicates=auto", "max_replicates=12")
    done(command(tmp_path, *ARMS, *more))
    frame = rows(tmp_path)
    assert frame[frame["epochs"] == 1]["replicate"].nunique() == 5
    assert frame[frame["epochs"] == 3]["replicate"].nunique() < 12


def test_a_fixed_number_says_nothing_before_all_are_there(tmp_path: Path) -> None:
    done(command(tmp_path, *ARMS, "replicates=5"))
    frame = pd.read_csv(tmp_path / "results" / "s" / "generalization.csv").set_index("arm")
    assert frame.loc["AdamW", "verdict"] == "higher"
    assert frame.loc["AdamW", "replicates"] == frame.loc["AdamW", "pairs"] == 5
    study = tmp_path / "results" / "s"
    trials = (study / "trials.csv").read_text().splitlines(keepends=True)
    kept = [line for line in trials if f",{4 * SEEDS_APART}," not in line]
    (study / "trials.csv").write_text("".join(kept))
    assert "4 of 5 replicates are there" in command(tmp_path, "results/s", module="runner.report").out


def test_refining_adds_cells_half_way_to_the_neighbours_of_each_winner(tmp_path: Path) -> None:
    planned = done(command(tmp_path, *GRID, "refine=2", "dry_run=true"))
    # Two arms, with 8 cells around a winner, two seeds of each, in two rounds.
    assert "then finer grids around each best cell: up to 64 trials more" in planned
    done(command(tmp_path, *GRID, "refine=1"))
    frame = rows(tmp_path)
    planned = done(command(tmp_path, *GRID, "refine=1", "dry_run=true"))
    assert f"{len(frame)} trials, {len(frame)} done, 0 to train" in planned
    near = frame[frame["phase"] == "refine"]
    assert len(near)
    steps = {(0.01 * 0.04) ** 0.5, (0.04 * 0.16) ** 0.5, 0.01, 0.04, 0.16}
    assert all(any(abs(lr / step - 1) < 1e-3 for step in steps) for lr in near["lr"])
    assert set(near["seed"]) == {0, 1}
    cells = frame[frame["phase"] == "search"].groupby(["optimizer", "lr", "wd"]).size()
    assert not set(near.groupby(["optimizer", "lr", "wd"]).groups) & set(cells.index)
    assert "already done" in done(command(tmp_path, *GRID, "refine=1"))
    assert len(rows(tmp_path)) == len(frame)
    # The map is the grid that was laid down before.
    table = pd.read_csv(tmp_path / "results" / "s" / "generalization.csv").set_index("arm")
    assert table.loc["AdamW", "cells"] > 9


def test_a_cell_that_was_first_added_near_a_winner_counts_as_one_of_a_grid_that_asks_for_it(tmp_path: Path) -> None:
    grid = ("-m", "optimizer=adam", "wd=0.004", "replicates=2", "epochs=1", "final_seeds=1", *SMALL)
    done(command(tmp_path, *grid, "lr=0.01,0.16", "refine=1"))
    near = rows(tmp_path)
    assert set(near.loc[near["phase"] == "refine", "lr"]) == {0.04}
    done(command(tmp_path, *grid, "lr=0.01,0.04,0.16"))
    table = pd.read_csv(tmp_path / "results" / "s" / "generalization.csv")
    assert list(table["cells"]) == list(table["complete_cells"]) == [3]
    (tmp_path / "at_once").mkdir()
    done(command(tmp_path / "at_once", *grid, "lr=0.01,0.04,0.16"))
    tuning = [(folder / "results" / "s" / "tuning.csv").read_text() for folder in (tmp_path, tmp_path / "at_once")]
    assert tuning[0] == tuning[1]
    count = len(rows(tmp_path))
    assert "already done" in done(command(tmp_path, *grid, "lr=0.01,0.04,0.16"))
    assert len(rows(tmp_path)) == count


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("replicate=3",), "unknown key 'replicate'; it is map_noise=N now"),
        (("replicates=x",), "replicates=x: must be a whole number from 1 to 1000, or auto"),
        (("replicates=0",), "replicates=0: must be a whole number from 1 to 1000, or auto"),
        (("replicates=2", f"seed={SEEDS_APART}"), f"seed={SEEDS_APART}: must be below {SEEDS_APART}"),
        (("-m", "optimizer=adam,adamw", "replicates=auto", "max_replicates=3"), "no difference is decided before"),
        (("replicates=auto",), "replicates=auto: AdamW is compared with nothing; add optimizer=adam,adamw"),
        (
            ("-m", "optimizer=adam,adamw", "replicates=auto", "dataset.validation=0"),
            "replicates=auto: what is selected on test gets no verdict; set dataset.validation",
        ),
        (
            ("-m", "optimizer=adam,adamw", "wd=0.1,0.2", "replicates=auto"),
            "replicates=auto: needs final_seeds=N, seeds that the search did not use",
        ),
        (
            ("-m", "optimizer=adam,adamw", "replicates=auto", "primary=norms-and-biases"),
            "which primary=norms-and-biases is not about here; give replicates=N",
        ),
        (
            ("-m", "optimizer=sgd,sgdw", "replicates=auto", "primary=best-cell"),
            "which primary=best-cell is not about here; give replicates=N",
        ),
        (("alpha=2",), "alpha=2.0: must be from 1e-9 to below 1"),
        (("replicates=4", "alpha=1e-17"), "alpha=1e-17: must be from 1e-9 to below 1"),  # its level is 100 %
        (("-m", "optimizer=adam,adamw", "replicates=auto", "prior_g=1e-300"), "prior_g=1e-300: must be from 0.001 to"),
        (("primary=nothing",), "primary=nothing: must be the id of a claim"),
    ],
)
def test_what_could_never_come_to_a_verdict_is_refused_in_one_line(
    arguments: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    said = command(tmp_path, *arguments, *SMALL)
    assert said.code == 2
    assert line in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "results").exists()
