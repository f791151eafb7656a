"""What a command trains again: what failed, what resume=false names and nothing else, and what has lost its rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from runner.execution import worker
from runner.records.lacking import lacking, left_out
from runner.records.read import read
from runner.records.schema import TIMING
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints
from tests.damage import TWO, check_went_on, command

ONE = ("seed=0", *TWO[1:])


@pytest.fixture
def folder(two: Path, tmp_path: Path) -> Path:
    shutil.copytree(two / "results", tmp_path / "results")
    return tmp_path


def lines(folder: Path, table: str = "trials") -> list[str]:
    return (folder / "results" / "s" / f"{table}.csv").read_text().splitlines()


def test_what_failed_is_tried_again_by_the_same_command_and_once(folder: Path) -> None:
    study = folder / "results" / "s"
    rows = lines(folder)
    failed = rows[1].replace(",ok,", ",failed,")
    (study / "trials.csv").write_text("\n".join([rows[0], failed, rows[2], ""]))
    said = command(folder, *TWO)
    check_went_on(said, "1 search trial (1 of 2 already done)")
    assert lines(folder)[:3] == [rows[0], failed, rows[2]]
    assert len(lines(folder)) == 4
    assert list(read(study)["status"]) == ["ok", "ok"]
    check_went_on(command(folder, *TWO), "already done")


def test_resume_false_replaces_the_rows_that_the_command_names_and_nothing_else(folder: Path) -> None:
    study, before = folder / "results" / "s", lines(folder)
    first = read(study)
    check_went_on(command(folder, *ONE, "resume=false"), "1 of 1 search trial trained again")
    after = lines(folder)
    assert after[:3] == before
    assert len(after) == 4
    assert not list((folder / "results").glob("*.old*"))
    columns = [name for name in first if name not in TIMING]
    again = read(study).sort_values("trial", ignore_index=True)
    pd.testing.assert_frame_equal(again[columns], first.sort_values("trial", ignore_index=True)[columns])
    check_went_on(command(folder, *TWO), "already done")
    assert lines(folder) == after


def test_fresh_sets_the_whole_study_aside(folder: Path) -> None:
    before = lines(folder)
    check_went_on(command(folder, *ONE, "fresh=true"), "the earlier rows are now in results/s.old1")
    assert (folder / "results" / "s.old1" / "trials.csv").read_text().splitlines() == before
    assert len(lines(folder)) == 2


def stopped() -> None:
    """The command is interrupted when its first epoch is on record."""
    honest = Checkpoints.save

    def save(self: Checkpoints, state: dict[str, object]) -> None:
        honest(self, state)
        if state["recorded"]:
            raise Interrupted(15)

    Checkpoints.save = save  # type: ignore[method-assign]


LONGER = ("seed=[0,1]", "epochs=3", "checkpoint_every=0", *TWO[2:])


def test_resume_false_begins_again_where_only_curves_and_a_saved_state_are_there(tmp_path: Path) -> None:
    assert command(tmp_path, *LONGER, before=stopped).code != 0
    (saved,) = (tmp_path / "results" / "s" / ".state" / "stacks").glob("*.pt")
    assert lines(tmp_path, "curves")[1].split(",")[1] == "1"
    check_went_on(command(tmp_path, "seed=0", *LONGER[1:], "resume=false"))
    assert not saved.exists()
    assert list(read(tmp_path / "results" / "s")["seed"]) == [0]
    check_went_on(command(tmp_path, *LONGER))
    assert sorted(read(tmp_path / "results" / "s", "curves").groupby("trial")["epoch"].count()) == [3, 3]


def test_an_interrupted_resume_false_leaves_the_old_rows_valid_and_is_gone_on_with(tmp_path: Path) -> None:
    check_went_on(command(tmp_path, *LONGER))
    before, study = lines(tmp_path), tmp_path / "results" / "s"
    assert command(tmp_path, *LONGER, "resume=false", before=stopped).code != 0
    assert lines(tmp_path) == before
    assert len(read(study)) == 2
    check_went_on(command(tmp_path, *LONGER), "2 search trials in 1 stack")
    assert len(lines(tmp_path)) == 5
    assert len(read(study)) == 2
    check_went_on(command(tmp_path, *LONGER), "already done")


@pytest.mark.parametrize("target", [100.0, 0.0])
def test_a_target_that_is_added_when_going_on_counts_from_the_first_epoch(target: float, tmp_path: Path) -> None:
    assert command(tmp_path, *LONGER, before=stopped).code != 0
    check_went_on(command(tmp_path, *LONGER, f"target_error={target}"))
    found = read(tmp_path / "results" / "s")["epochs_to_target"]
    assert list(found.fillna(0)) == ([1, 1] if target else [0, 0])


CYCLES = ("seed=[0,1]", "epochs=3", "schedule=restarts", "schedule.t_0=1", "diagnostics=true", *TWO[2:])


@pytest.fixture(scope="module")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with rows in every table."""
    folder = tmp_path_factory.mktemp("cycles")
    check_went_on(command(folder, *CYCLES))
    return folder


def test_diagnostics_that_are_asked_for_afterwards_are_said_to_be_missing(folder: Path) -> None:
    check_went_on(command(folder, *TWO))
    check_went_on(command(folder, *TWO, "diagnostics=true"), "dynamics.csv has nothing of 2 finished search trials")
    check_went_on(command(folder, *TWO, "diagnostics=true", "resume=false"))
    assert "dynamics.csv has nothing" not in command(folder, *TWO, "diagnostics=true").text


def test_measures_that_are_asked_for_afterwards_are_said_to_be_missing(tmp_path: Path) -> None:
    words = ("seed=[0,1]", "epochs=4", *TWO[2:])
    check_went_on(command(tmp_path, *words, "eval_every=2"))
    often = command(tmp_path, *words, "eval_every=1")
    check_went_on(often, "curves.csv has not every epoch of eval_every=1 of 2 finished search trials; resume=false")
    assert "curves.csv has" not in command(tmp_path, *words, "eval_every=2").text
    assert "curves.csv has" not in command(tmp_path, *words, "eval_every=4").text
    everything = command(tmp_path, *words, "eval_every=2", "eval_all=true")
    check_went_on(everything, "curves.csv has no test errors in some epochs of 2 finished search trials; resume=false")
    check_went_on(command(tmp_path, *words, "eval_every=1", "eval_all=true", "resume=false"))
    assert "curves.csv has" not in command(tmp_path, *words, "eval_every=1", "eval_all=true").text


@pytest.mark.parametrize(("table", "kept"), [("curves", 0.5), ("dynamics", 0.5), ("cycles", 0.0)])
def test_rows_that_are_lost_are_said_and_trained_again(table: str, kept: float, cycles: Path, tmp_path: Path) -> None:
    shutil.copytree(cycles / "results", tmp_path / "results")
    study = tmp_path / "results" / "s"
    whole = lines(tmp_path, table)
    (study / f"{table}.csv").write_text("\n".join([*whole[: 1 + int(kept * len(whole))], ""]))
    check_went_on(command(tmp_path, "results/s", module="runner.report"), f"{table}.csv: ")
    check_went_on(command(tmp_path, *CYCLES), f"rows are missing in {table}.csv of 2", "trained again")
    check_went_on(command(tmp_path, *CYCLES), "already done")
    assert len(read(study, table)) == len(whole) - 1


COMMITTED = sorted(path.parent for path in (Path(__file__).parents[2] / "results").rglob("study.yaml"))


@pytest.mark.skipif(not COMMITTED, reason="needs the committed studies")
@pytest.mark.parametrize("study", COMMITTED, ids=lambda path: path.name)
def test_the_own_command_of_a_committed_study_has_nothing_to_train_again(study: Path) -> None:
    """results/folklore/resnet was committed without its curves, and all of it would have been trained again."""
    trials = read(study)
    for table in ("curves", "cycles"):
        rows = read(study, table)
        assert not lacking(table, rows, trials, False) or table in left_out(study), table


def set_aside_when_trained() -> None:
    """Another command sets the study aside when this one has written its last row."""
    honest = worker.work

    def work(job: worker.Job, *arguments: object, **more: object) -> None:
        honest(job, *arguments, **more)  # type: ignore[arg-type]
        job.folder.rename(job.folder.with_name("moved"))

    from runner.execution import pool

    pool.work = work  # type: ignore[assignment]


def test_a_study_that_is_moved_while_it_trains_is_missed(tmp_path: Path) -> None:
    said = command(tmp_path, *TWO, before=set_aside_when_trained)
    assert said.code == 1, said.text
    assert "2 of 2 trials asked for have no row" in said.text
    assert "The same command trains what is missing" in said.text
    assert "Traceback" not in said.text
