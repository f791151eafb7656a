"""Claims about fresh seeds: whose they are, and that a dry run counts what the run will train."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.select import winners
from runner.records.read import read
from tests.damage import Said, check_refused, check_went_on, command

QUICK = "epochs=1 model.width=4 dataset.train=20 dataset.test=1700 workers=1 study=s".split()
SWEEP = "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=0,0.1 seed=0,1".split()


def ran(folder: Path, *arguments: str) -> Said:
    said = command(folder, *QUICK, *arguments)
    check_went_on(said)
    return said


def to_train(said: Said) -> int:
    return int(re.findall(r"(\d+) to train", said.out)[0])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of three arms without fresh seeds."""
    folder = tmp_path_factory.mktemp("swept")
    ran(folder, *SWEEP)
    return folder


@pytest.fixture
def study(swept: Path, tmp_path: Path) -> Path:
    shutil.copytree(swept / "results", tmp_path / "results")
    return tmp_path / "results" / "s"


def finals(study: Path) -> pd.DataFrame:
    rows = read(study)
    return rows[rows["phase"] == "final"]


def reported(study: Path) -> dict[str, str]:
    (block,) = split(read(study))
    return {result.arm: result.phase for result in results(block).arms}


def test_fresh_seeds_are_for_the_best_cells_of_the_whole_study(study: Path) -> None:
    rows = read(study)
    best = winners(rows).set_index("arm").loc["AdamW"]
    other = 1e-3 if best["lr"] == 1e-2 else 1e-2  # a cell that is not the best
    ran(study.parent.parent, "optimizer=adamw", f"lr={other}", "wd=0.1", "seed=[0,1]", "final_seeds=2")
    trained = finals(study)
    found = {(row["optimizer"], row["lr"], row["wd"]) for row in trained.to_dict("records")}
    assert ("adamw", best["lr"], 0.1) in found
    assert ("adamw", other, 0.1) not in found
    assert found == {(row["optimizer"], row["lr"], row["wd"]) for row in winners(rows).to_dict("records")}
    assert set(reported(study).values()) == {"final"}


def test_a_dry_run_counts_the_fresh_seeds_that_are_still_to_be_trained(study: Path) -> None:
    folder = study.parent.parent
    for seeds in (1, 3):
        asked = to_train(ran(folder, *SWEEP, f"final_seeds={seeds}", "dry_run=true"))
        before = len(read(study))
        ran(folder, *SWEEP, f"final_seeds={seeds}")
        assert len(read(study)) - before == asked == 3 * (seeds - len(range(1, seeds, 2)))
    assert to_train(ran(folder, *SWEEP, "final_seeds=3", "dry_run=true")) == 0


def test_before_the_search_is_done_a_dry_run_says_how_many_fresh_seeds_there_can_be(tmp_path: Path) -> None:
    said = ran(tmp_path, *SWEEP, "final_seeds=5", "dry_run=true")
    assert to_train(said) == 12
    assert "up to 15 trials more" in said.out


def without(study: Path, seed: str, optimizer: str = "") -> int:
    """Delete search rows; how many."""
    path = study / "trials.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    gone = (rows["phase"] == "search") & (rows["seed"] == seed)
    gone &= rows["optimizer"] == optimizer if optimizer else True
    rows[~gone].to_csv(path, index=False, lineterminator="\n")
    return int(gone.sum())


def test_where_search_rows_are_gone_a_dry_run_counts_the_fresh_seeds_that_are_there(study: Path) -> None:
    """It said up to 6 trials more, whatever fresh seeds were on record."""
    folder = study.parent.parent
    ran(folder, *SWEEP, "final_seeds=2")
    gone = without(study, "1")
    said = ran(folder, *SWEEP, "final_seeds=2", "dry_run=true")
    assert to_train(said) == gone == 6
    assert "up to 6 trials more (in the figures above); none if those that are the best now stay so" in said.out
    # Whichever cell is the best now: another of each arm has no fresh seed yet.
    said = ran(folder, *SWEEP, "final_seeds=3", "dry_run=true")
    assert "up to 9 trials more (in the figures above); 3 if those" in said.out
    before = len(read(study))
    ran(folder, *SWEEP, "final_seeds=2")
    assert gone <= len(read(study)) - before <= gone + 6


def test_a_dry_run_counts_the_trials_whose_other_rows_are_lost(study: Path) -> None:
    """It said that nothing is to be trained, and the run trained all of it again."""
    folder, words = study.parent.parent, [*SWEEP, "final_seeds=2"]
    ran(folder, *words)
    assert to_train(ran(folder, *words, "dry_run=true")) == 0
    (study / "curves.csv").unlink()
    said = ran(folder, *words, "dry_run=true")
    assert to_train(said) == 12
    assert "up to 6 trials more (in the figures above)\n" in said.out
    assert not (study / "curves.csv").exists()
    (study / "left_out.txt").write_text("curves.csv\n")
    said = ran(folder, *words, "dry_run=true")
    assert to_train(said) == 0
    assert "is missing, with the rows of 18 trials in trials.csv (left_out.txt says so)" in said.out
    check_went_on(command(folder, *QUICK, *words), "already done", "left_out.txt says so")
    # Trials that are added later have rows in that table; those of before are not trained again for it.
    before = read(study)
    ran(folder, *SWEEP, "final_seeds=3")
    after = read(study)
    assert set(before["trial"]) < set(after["trial"])
    assert set(read(study, "curves")["trial"]) == set(after["trial"]) - set(before["trial"])
    assert not after["trial"].duplicated().any()
    assert to_train(ran(folder, *SWEEP, "final_seeds=3", "dry_run=true")) == 0


def test_fresh_seeds_that_every_cell_has_are_not_counted_again(study: Path) -> None:
    folder, one = study.parent.parent, [*SWEEP[:2], "lr=1e-3", "wd=0.1", "seed=0,1"]
    ran(folder, *one, "study=t", "final_seeds=2")
    gone = without(study.with_name("t"), "1", "adam")
    said = ran(folder, *one, "study=t", "final_seeds=2", "dry_run=true")
    assert to_train(said) == gone == 1
    assert "more" not in said.out
    said = ran(folder, *one, "study=t", "final_seeds=2", "resume=false", "dry_run=true")
    assert "up to 4 trials more (in the figures above)\n" in said.out


def test_fresh_seeds_are_none_that_an_earlier_search_of_the_study_used(study: Path) -> None:
    folder = study.parent.parent
    ran(folder, "-m", "optimizer=adam", "lr=1e-3,1e-2", "wd=0.1", "seed=1000")
    ran(folder, *SWEEP, "final_seeds=2")
    assert set(finals(study)["seed"]) == {1001, 1002}


def test_a_search_seed_that_was_a_fresh_one_removes_no_result(study: Path) -> None:
    folder = study.parent.parent
    ran(folder, *SWEEP, "final_seeds=2")
    before = read(study)
    ran(folder, *SWEEP[:4], "seed=1000,1001")
    assert len(read(study)) > len(before)
    assert set(reported(study).values()) == {"final"}
    (block,) = split(read(study))
    assert all(result.seeds == (1000, 1001) for result in results(block).arms)


def test_the_last_line_of_a_command_and_of_its_report_is_the_answer(study: Path) -> None:
    folder = study.parent.parent
    lines = [_answer(ran(folder, *SWEEP).out), _answer(command(folder, str(study), module="runner.report").out)]
    assert lines[0] == lines[1]
    assert lines[0].startswith("No verdict about optimizers: one replicate")
    assert re.search(r"AdamW against Adam", lines[0])
    other = _answer(command(folder, str(study), "--reference", "adamw", module="runner.report").out)
    assert re.search(r"against AdamW", other)


def _answer(out: str) -> str:
    """The last sentences, on as many lines as they take."""
    text = " ".join(out.split())
    return text[max(0, text.rindex("No verdict")) :]


def test_an_arm_that_is_not_there_is_refused_before_training_with_those_that_are(study: Path, tmp_path: Path) -> None:
    folder, before = study.parent.parent, (study / "trials.csv").read_bytes()
    check_refused(command(folder, *QUICK, "optimizer=adamw", "seed=7", "reference=sgd"), "reference=sgd")
    assert (study / "trials.csv").read_bytes() == before
    said = command(folder, str(study), "--reference", "sgd", module="runner.report")
    assert said.code == 2
    assert "Adam, no decay; Adam + L2; AdamW" in said.err
    ran(folder, *SWEEP, "reference=adamw")
    table = pd.read_csv(study / "generalization.csv").set_index("arm")
    assert list(table["reference"].fillna("")) == ["AdamW", "AdamW", ""]


def test_also_by_loss_trains_the_best_cells_by_loss_too_and_a_dry_run_counts_them(study: Path) -> None:
    rows = read(study)
    best = winners(rows).set_index("arm").loc["AdamW"]
    # The other cell of AdamW has the smallest validation loss of all.
    other = 1e-3 if best["lr"] == 1e-2 else 1e-2
    lines = pd.read_csv(study / "trials.csv", dtype=str, keep_default_na=False)
    of_other = (lines["optimizer"] == "adamw") & (lines["lr"].astype(float) == other)
    assert of_other.sum() == 2
    lines.loc[of_other, "val_loss"] = "0.001"
    lines.to_csv(study / "trials.csv", index=False)
    folder = study.parent.parent
    assert to_train(ran(folder, *SWEEP, "final_seeds=2", "dry_run=true")) == 6
    asked = to_train(ran(folder, *SWEEP, "final_seeds=2", "also_by=loss", "dry_run=true"))
    ran(folder, *SWEEP, "final_seeds=2", "also_by=loss")
    trained = finals(study)
    assert len(trained) == asked
    of_adamw = trained[trained["optimizer"] == "adamw"]
    assert sorted(set(of_adamw["lr"])) == [1e-3, 1e-2]
    assert len(of_adamw) == 4
    assert "by loss instead of error" in (study / "generalization.md").read_text()


def test_before_the_search_is_done_a_dry_run_counts_a_second_cell_of_each_arm(tmp_path: Path) -> None:
    def most(*more: str) -> int:
        said = ran(tmp_path, *SWEEP, "final_seeds=2", "dry_run=true", *more)
        return int(re.findall(r"up to (\d+) trials more", said.out)[0])

    assert most() == 3 * 2
    assert most("also_by=loss") == 2 * 3 * 2
    assert most("also_by=error") == 3 * 2  # by which they are chosen anyway


def test_also_by_needs_seeds_to_train_with(tmp_path: Path) -> None:
    said = command(tmp_path, *QUICK, "also_by=loss")
    check_refused(said, "also_by=loss: needs final_seeds=N")
