"""Sweeps: all trials of -m in one go, the same rows however they are asked for, and failures that stop nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins

from runner.cli.sweeper import TARGET, StackSweeper, axes_as_lists, register
from runner.execution import worker
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import TIMING
from runner.trials import plan
from runner.trials.trial import Trial
from tests.damage import check_refused, check_went_on, command, process
from tests.helpers import images, trial
from tests.waiting import PATIENCE, until

QUICK = ["model.width=4", "epochs=2", "dataset.train=100", "eval_every=2", "exact=true"]


def runner(*arguments: str, cwd: Path) -> str:
    """What a command says that trains in one process, as `command` does."""
    said = command(cwd, *QUICK, *arguments)
    check_went_on(said)
    return said.text


def runner_with_workers(*arguments: str, cwd: Path) -> str:
    """The same in a Python of its own, which may start workers."""
    said = process(cwd, *QUICK, *arguments)
    check_went_on(said)
    return said.text


def rows(folder: Path, table: str = "trials") -> pd.DataFrame:
    """Rows without what a clock or a machine decides, in a fixed order."""
    frame = read(folder, table).drop(columns=list(TIMING), errors="ignore")
    order = ["trial", "epoch"] if table == "curves" else ["trial"]
    return frame.sort_values(order).reset_index(drop=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    runner_with_workers(
        "-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0,0.1", "seed=0,1", "final_seeds=2", cwd=folder
    )
    return folder / "results" / "digits-resnet"


def test_a_sweep_trains_each_point_once_and_its_winners_with_fresh_seeds(swept: Path) -> None:
    frame = read(swept)
    search, final = (frame[frame["phase"] == phase] for phase in ("search", "final"))
    assert len(search) == 12  # 2 x 8 less the 4 that Adam and AdamW share at wd = 0
    assert all(sorted(seeds) == [0, 1] for _, seeds in search.groupby(["optimizer", "lr", "wd"])["seed"])
    assert len(final) == 6  # three arms
    assert not set(final["seed"]) & set(search["seed"])
    assert (frame["status"] == "ok").all()
    assert frame["trial"].is_unique


def test_a_study_folder_holds_what_the_readme_says_and_nothing_else(swept: Path) -> None:
    names = {path.name for path in swept.iterdir()}
    assert {"trials.csv", "curves.csv", "study.yaml", "generalization.csv", "generalization.md", "plots"} <= names
    assert names <= {*names, ".state"}
    assert {path.name for path in swept.parent.parent.iterdir()} == {"results"}


def test_the_same_command_again_trains_nothing(swept: Path) -> None:
    before = (swept / "trials.csv").read_bytes()
    said = runner(
        "-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0,0.1", "seed=0,1", "final_seeds=2", cwd=swept.parent.parent
    )
    assert "already done" in said
    assert "resume=false" in said
    assert (swept / "trials.csv").read_bytes() == before


@pytest.mark.campaign
def test_rows_are_identical_however_they_are_asked_for(swept: Path, tmp_path: Path) -> None:
    runner("optimizer=adam", "lr=[1e-2,1e-3]", "wd=[0.1,0]", "seed=[1,0]", "stack=3", "workers=1", cwd=tmp_path)
    runner("optimizer=adamw", "lr=[1e-3,1e-2]", "wd=0.1", "seed=0", cwd=tmp_path)
    runner("optimizer=adamw", "lr=[1e-3,1e-2]", "wd=0.1", "seed=1", "stack=1", cwd=tmp_path)
    for table in ("trials", "curves"):
        ours, theirs = rows(tmp_path / "results" / "digits-resnet", table), rows(swept, table)
        theirs = theirs[theirs["trial"].isin(ours["trial"])].reset_index(drop=True)
        assert len(ours) == 12
        pd.testing.assert_frame_equal(ours, theirs)


def test_fresh_keeps_the_earlier_rows_under_another_name(tmp_path: Path) -> None:
    runner("wd=0.1", cwd=tmp_path)
    first = rows(tmp_path / "results" / "digits-resnet")
    runner("wd=0.1", "fresh=true", cwd=tmp_path)
    again = rows(tmp_path / "results" / "digits-resnet")
    pd.testing.assert_frame_equal(first, again)
    assert (tmp_path / "results" / "digits-resnet.old1" / "trials.csv").exists()


@pytest.mark.campaign
def test_a_sweep_that_is_killed_goes_on_where_it_stopped(swept: Path, tmp_path: Path) -> None:
    arguments = ["-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0,0.1", "seed=0,1", "stack=2"]
    words = [sys.executable, "-m", "runner", *QUICK, *arguments]
    running = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "results" / "digits-resnet" / "trials.csv"
    until(path.exists, running)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    runner(*arguments, cwd=tmp_path)
    ours, theirs = rows(path.parent), rows(swept)
    theirs = theirs[theirs["phase"] == "search"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.campaign
def test_terminated_says_how_to_go_on(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "runner", "epochs=5000"]
    running = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    until((tmp_path / "results" / "digits-resnet" / "curves.csv").exists, running)
    running.terminate()
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 143
    assert "the same command goes on" in said
    assert "Traceback" not in said


def test_what_cannot_be_written_or_read_is_one_line(tmp_path: Path) -> None:
    study = tmp_path / "results" / "digits-resnet"
    study.mkdir(parents=True)
    (study / "study.yaml").write_text("{{{: foo")
    said = runner("epochs=1", cwd=tmp_path)
    assert "study.yaml cannot be read" in said
    assert len(read(study)) == 1
    (tmp_path / "file").write_text("")
    check_refused(command(tmp_path, *QUICK, "results=file"), "results=")


def test_the_axes_of_a_sweep_become_lists_and_the_rest_stays(tmp_path: Path) -> None:
    parser = OverridesParser.create()
    typed = ["optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=choice(0,0.1)", "seed=range(0,3)", "epochs=3,4", "lr=[1,2]"]
    found = [override.input_line for override in axes_as_lists(parser.parse_overrides(typed), parser)]
    assert found == ["optimizer=adam,adamw", "lr=[0.001,0.01]", "wd=[0,0.1]", "seed=[0,1,2]", "epochs=3,4", "lr=[1,2]"]


def test_hydra_accepts_the_sweeper_by_the_name_in_the_yaml() -> None:
    """One line of bridge: Hydra 1.3 wants plugins to live under hydra_plugins."""
    register(train=lambda *_: None)
    assert Plugins.instance().class_name_to_class[TARGET] is StackSweeper
    assert Plugins.is_in_toplevel_plugins_module(TARGET)


def job(folder: Path, trials: list[Trial]) -> worker.Job:
    dataset = images()
    stamps = {"study": "s", "phase": "search", "commit": "", "version": ""}
    return worker.Job(folder, [trials], {trials[0].dataset: dataset}, "cpu", stamps)


def test_one_trial_that_fails_becomes_a_row_and_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runner.training.train as module

    dataset, honest = images(), module.train
    trials = [trial(dataset, seed=seed, epochs=1) for seed in range(5)]

    def train(some: list[Trial], *rest: object, **more: object) -> object:
        if any(t.seed == 3 for t in some):
            raise ValueError("odd\nnumbers")
        return honest(some, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", train)
    told: list[str] = []
    worker.work(job(tmp_path, trials), lambda kind, content: told.append(kind))
    frame = read(tmp_path).set_index("seed")
    assert frame["status"].to_dict() == {0: "ok", 1: "ok", 2: "ok", 4: "ok", 3: "failed"}
    assert frame.loc[3, "note"] == "ValueError: odd"


def test_what_another_process_claims_is_left_to_it(tmp_path: Path) -> None:
    from runner.execution.trial_locks import TrialLocks

    trials = [trial(images(), seed=seed, epochs=1) for seed in range(4)]
    Records(tmp_path)
    other = TrialLocks(tmp_path)
    other.acquire([trials[1].id])
    worker.work(job(tmp_path, trials), lambda *_: None, wait=False)
    assert set(read(tmp_path)["seed"]) == {0, 2, 3}
    other.release([trials[1].id])
    worker.work(job(tmp_path, trials), lambda *_: None, wait=False)
    assert set(read(tmp_path)["seed"]) == {0, 1, 2, 3}
    assert other.alone()


def test_a_plan_covers_every_trial_once_and_never_mixes_shapes() -> None:
    dataset = images()
    trials = [trial(dataset, seed=s, epochs=e) for s in range(33) for e in (1, 2)]
    for size, workers in ((0, 2), (5, 1), (0, 3)):
        stacks = plan.plan(trials, plan.Layout("cpu", size, workers))
        assert sorted(t.id for s in stacks for t in s) == sorted(t.id for t in trials)
        assert all(len({t.stack_key for t in s}) == 1 for s in stacks)
        assert not size or max(map(len, stacks)) <= size
