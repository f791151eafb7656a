"""`max_minutes` starts no stack that would end later, and says so where none can be started at all."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch

from runner.execution import saved, worker
from runner.records.read import read
from tests.damage import QUICK, check_went_on, command, process
from tests.helpers import images, trial

SOON = 30.0  # seconds: a deadline before any end. On a machine so busy that it has passed, the same must be said.


def test_a_time_box_too_short_for_anything_says_so_and_what_would_do(tmp_path: Path) -> None:
    """It said that the same command goes on, with status 0: for ever."""
    said = command(tmp_path, *QUICK, "max_minutes=1e-9")
    assert said.code == 1
    assert "1 search trial left; it was over before a stack could be started; give more minutes" in said.out
    assert "no trial has been trained yet" in said.out
    assert said.err == ""
    check_went_on(command(tmp_path, *QUICK))
    rows = (tmp_path / "results" / "s" / "trials.csv").read_bytes()
    said = command(tmp_path, *QUICK, "seed=[0,1,2]", "epochs=1000000", "max_minutes=10")
    assert said.code == 1
    assert re.search(r"3 search trials left; no stack fits, the shortest takes about [\d.e+]+ minutes: give", said.out)
    assert (tmp_path / "results" / "s" / "trials.csv").read_bytes() == rows
    assert said.out.splitlines()[-1] == "not finished: no answer yet"


def test_what_is_left_when_something_fits_is_no_error(tmp_path: Path) -> None:
    said = command(tmp_path, "-m", *QUICK, "epochs=1,1000000", "max_minutes=10")
    check_went_on(said, "1 search trial left; the same command goes on")
    assert list(read(tmp_path / "results" / "s")["epochs"]) == [1]


def test_a_saved_state_counts_where_a_stack_must_end_in_time(tmp_path: Path) -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, epochs=4) for seed in range(2)]
    assert saved.share_left(tmp_path, trials) == 1
    path = saved.state(tmp_path, trials)
    path.parent.mkdir(parents=True)
    torch.save({"epoch": 3, "trials": [t.id for t in trials]}, path)
    assert saved.share_left(tmp_path, trials) == 0.25
    path.write_bytes(b"torn")
    assert saved.share_left(tmp_path, trials) == 1


def test_max_minutes_starts_no_stack_that_it_expects_to_be_late(tmp_path: Path) -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, epochs=1) for seed in range(4)]
    late = worker.Job(
        tmp_path,
        [trials[:2], trials[2:]],
        {trials[0].dataset: dataset},
        "cpu",
        {"study": "s", "phase": "search"},
        deadline=time.time() + SOON,
        pace={trials[0].stack_key: 100.0},
    )
    told: list[tuple[str, object]] = []
    worker.work(late, lambda kind, content: told.append((kind, content)))
    assert told == [("late", ([t.id for t in some], 200.0)) for some in (trials[:2], trials[2:])]


def test_max_minutes_knows_how_long_a_first_stack_takes(tmp_path: Path) -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, epochs=100_000) for seed in range(2)]
    stamps = {"study": "s", "phase": "search"}
    job = worker.Job(tmp_path, [trials], {trials[0].dataset: dataset}, "cpu", stamps, deadline=time.time() + SOON)
    told: list[str] = []
    worker.work(job, lambda kind, content: told.append(kind))
    assert told == ["late"]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_time_box_left_is_counted_once(tmp_path: Path, workers: int) -> None:
    sweep = ["-m", "lr=1e-3,1e-2", "seed=0,1", "stack=2"]
    said = process(tmp_path, *sweep, *QUICK, f"workers={workers}", "max_minutes=0.0001")
    assert "4 search trials left" in said.out
    assert said.code == 1
