"""Shards: a sweep in the jobs of a launcher trains each trial once, and what is lost with a job is trained later."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.config.settings import RunSettings
from runner.errors import UserError
from runner.execution.cluster import launch as launched
from runner.execution.cluster.launch import ShardOutcome, Shards, number
from runner.execution.cluster.shards import LaunchLog, split, steps, units
from runner.execution.local import Resources
from runner.records.read import read
from runner.records.records import Records
from runner.report.progress import progress_note
from runner.trials.plan import Layout, StoredPlan, name
from runner.trials.trial import Trial
from tests import damage
from tests.helpers import images, trial

QUICK = ["model.width=4", "epochs=2", "dataset.train=100", "eval_every=2"]
SWEEP = ["-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0,0.1", "seed=0,1", "final_seeds=2"]


@cache
def many() -> tuple[Trial, ...]:
    """Trials of three shapes, mixed."""
    base = trial(images())
    return tuple(replace(base, seed=seed, epochs=epochs) for seed in range(20) for epochs in (1, 3, 10))


@settings(max_examples=200)
@given(st.integers(1, 60), st.integers(1, 100), st.randoms(use_true_random=False))
def test_any_number_of_shards_is_a_partition_of_the_trials(count: int, shards: int, random: object) -> None:
    trials = random.sample(many(), count)  # type: ignore[attr-defined]
    parts = split([[t] for t in trials], shards, steps)
    assert sorted(t.id for part in parts for t in part) == sorted(t.id for t in trials)
    assert len(parts) <= shards
    assert all(parts)
    if len({t.stack_key for t in trials}) == 1:
        assert len(parts) == min(shards, count)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    # No shard has more than its share of the work and one trial.
    share = sum(map(steps, trials)) / shards
    assert all(sum(map(steps, part)) <= share + max(map(steps, trials)) for part in parts)
    # Shapes stay side by side: each is cut no more often than its share of the work asks for.
    for shape in {t.stack_key for t in trials}:
        work = sum(steps(t) for t in trials if t.stack_key == shape)
        assert sum(any(t.stack_key == shape for t in part) for part in parts) <= work / share + 2


def test_a_stack_with_a_saved_state_goes_to_one_shard(tmp_path: Path) -> None:
    trials = [t for t in many() if t.epochs == 3]
    stacks = StoredPlan(tmp_path, nullcontext()).follow(trials[:8], Layout("cpu", 4, 1))
    saved = tmp_path / ".state" / "stacks" / f"{name(stacks[1])}.pt"
    saved.parent.mkdir(parents=True)
    saved.touch()
    found = units(trials, tmp_path, nullcontext())
    assert sorted(map(len, found)) == [1] * 16 + [4]
    parts = split(found, 8, steps)
    assert any({t.id for t in stacks[1]} <= {t.id for t in part} for part in parts)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/3", "x", "1", "None", "-1/4", "1/4/4"])
def test_a_shard_that_no_launch_would_name_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="must be one of 1/4 to 4/4"):
        number(text, 4)


def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Trial], Resources]:
    """Six trials of made-up images, which every shard finds where it looks for its dataset."""
    dataset = images()
    base = trial(dataset, epochs=1)
    monkeypatch.setattr(launched, "load", lambda _: dataset)
    trials = {t.id: t for t in (replace(base, seed=seed) for seed in range(6))}
    return trials, Resources(RunSettings(workers=1), {base.dataset: dataset}, ("cpu",))


def run(task: Shards, shards: list[int]) -> list[ShardOutcome]:
    """Jobs of a launcher, each in a copy of the task as it would arrive on another machine."""
    copy = pickle.dumps(task)
    return [pickle.loads(copy)({"shard": f"{shard}/{len(task.shares)}"}) for shard in shards]


def test_a_lost_shard_is_told_and_trained_by_the_next_launch_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, resources = study(tmp_path, monkeypatch)
    records = Records(tmp_path)

    def lossy(task: Shards, folder: Path) -> list[ShardOutcome]:
        run(task, [1, 3])
        raise RuntimeError("job 2 has no result\n(state: NODE_FAIL)\nand a long log")

    first = launched.train(trials, "search", resources, records, lossy, 3)
    said = capsys.readouterr().out
    assert (first.count, first.late, first.lost) == (4, 0, 2)
    assert "job 2 has no result (state: NODE_FAIL)" in said
    assert "and a long log" not in said
    assert "2 of 6 search trials without a row; the same command goes on" in said
    assert progress_note(tmp_path).startswith("Partial: 4 of 6 planned trials have a row (67%)")
    assert "1/3: 2 of 2, 2/3: 0 of 2, 3/3: 2 of 2" in progress_note(tmp_path)

    sizes: list[int] = []

    def whole_launch(task: Shards, folder: Path) -> list[ShardOutcome]:
        sizes.extend(map(len, task.shares))
        return run(task, list(range(1, len(task.shares) + 1)))

    again = launched.train(trials, "search", resources, records, whole_launch, 3)
    assert (again.count, again.lost, sum(sizes)) == (2, 0, 2)
    assert sorted(read(tmp_path)["trial"]) == sorted(trials)
    assert progress_note(tmp_path) == ""
    assert launched.train(trials, "search", resources, records, whole_launch, 3).count == 0
    assert sum(sizes) == 2  # nothing is launched where nothing is missing


def test_a_report_before_the_first_row_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from runner.report.__main__ import main

    LaunchLog(tmp_path).note([[t] for t in many()[:3]], "search", Records(tmp_path).lock)
    assert main([str(tmp_path)]) == 0
    assert "Partial: 0 of 3 planned trials" in capsys.readouterr().out


def test_what_stops_a_shard_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, resources = study(tmp_path, monkeypatch)
    monkeypatch.setattr(launched, "load", lambda _: images(train=50))
    every = launched.train(trials, "search", resources, Records(tmp_path), lambda task, _: run(task, [1, 2, 3]), 3)
    assert every.lost == 6
    assert "shard 2/3: dataset=digits: differs here" in capsys.readouterr().out


def test_a_shard_leaves_to_others_what_they_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.execution.trial_locks import TrialLocks

    trials, resources = study(tmp_path, monkeypatch)
    records, other = Records(tmp_path), TrialLocks(tmp_path)
    busy = next(iter(trials))
    other.acquire([busy])
    outcome = launched.train(trials, "search", resources, records, lambda task, _: run(task, [1, 2, 3]), 3)
    assert outcome.lost == 1
    assert busy not in set(read(tmp_path)["trial"])


def test_trials_too_late_for_max_minutes_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, resources = study(tmp_path, monkeypatch)
    resources = replace(resources, run=replace(resources.run, max_minutes=1e-9))
    outcome = launched.train(trials, "search", resources, Records(tmp_path), lambda task, _: run(task, [1, 2, 3]), 3)
    assert (outcome.count, outcome.late, outcome.lost) == (0, 6, 0)


def test_the_launch_log_passes_over_torn_lines(tmp_path: Path) -> None:
    log = LaunchLog(tmp_path)
    assert log.read() == []
    Records(tmp_path)
    trials = list(many()[:4])
    log.note([trials[:2], trials[2:]], "search", nullcontext())
    log.path.write_bytes(log.path.read_bytes()[:-5])
    assert [row["shard"] for row in log.read()] == ["1/2", "1/2", "2/2"]
    log.note([trials], "final", nullcontext())
    assert [row["shard"] for row in log.read()] == ["1/2", "1/2", "2/2", *["1/1"] * 4]


def test_a_list_of_launches_that_is_none_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = LaunchLog(tmp_path)
    Records(tmp_path)
    log.path.write_text("something else\n")
    assert log.read() == []
    log.note([many()[:2]], "search", nullcontext())
    assert "shards.csv: not a list of launches; it is now shards.csv.old1" in capsys.readouterr().out
    assert len(log.read()) == 2


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "runner", *QUICK, *arguments]
    # No more jobs at a time than there are cores for: the default of joblib's launcher is all of them.
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.campaign
def test_joblib_shards_train_each_trial_once_and_the_winners_after(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the cluster extra")
    launch = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "shards=2"]
    first = command(*SWEEP, *launch, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "12 search trials in 2 shards" in first.stdout
    assert "6 final trials in 2 shards" in first.stdout
    folder = tmp_path / "results" / "digits-resnet"
    frame = read(folder)
    assert frame["trial"].is_unique
    assert frame["phase"].value_counts().to_dict() == {"search": 12, "final": 6}
    assert (folder / "generalization.md").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    again = damage.command(tmp_path, *QUICK, *SWEEP, *launch)  # a fork, for nothing is launched
    assert again.code == 0, again.err
    assert "already done" in again.out
    assert "shards" not in again.out
    assert len(read(folder)) == 18


@pytest.mark.parametrize(
    ("typed", "expected"),
    {
        "shards=-1": "shards=-1: must be a whole number from 1",
        "shards=1.5": "shards=1.5: must be a whole number",
        "shards=many": "shards=many: must be a whole number",
        "shards=1,2": "shards: cannot be swept",
        "+shard=1/2": "unknown key 'shard'",
    }.items(),
)
def test_wrong_shards_are_refused_in_one_line(typed: str, expected: str, tmp_path: Path) -> None:
    said = damage.command(tmp_path, *QUICK, "-m", typed)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert expected in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["slurm_cpu", "slurm_gpu"])
def test_cluster_presets_compose(preset: str, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the cluster extra")
    said = damage.command(tmp_path, f"+cluster={preset}", "--cfg", "hydra", "--package", "hydra.launcher")
    assert said.code == 0, said.err
    assert "SlurmLauncher" in said.out
    assert "SRUN_CPUS_PER_TASK" in said.out
