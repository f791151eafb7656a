"""Whoever reads a log of a long run sees how far it is, and a terminal's bar is not written into files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.execution import progress
from runner.execution.progress import Progress
from runner.execution.worker import Job, work
from runner.records.read import read
from tests.helpers import images, trial


class Clock:
    """Stands in for the time module; `now` is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def epoch(stack: str, number: int, error: float | None = None) -> tuple[str, int, int, int, float | None]:
    """Of ten epochs of a stack of two trials, which end together."""
    return stack, 2 if number < 10 else 0, number, 10, error


def ended(*trials: str) -> list[tuple[str, str, str]]:
    return [(trial, "ok", "") for trial in trials]


def test_a_log_has_a_line_a_minute_with_what_is_done_and_what_is_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Progress(total=12, done=2, label="digits search")
    for second in range(1, 300):
        clock.now = float(second)
        if second == 150:
            shown.tell("trials", ended("a", "b"))
            shown.tell("epoch", epoch("a", 10, 7.0))
        shown.tell("epoch", epoch("a" if second < 150 else "c", 5, 7.0))
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    # One trial of the ten took the first minute, three the third: what is left is reckoned from all that was trained.
    assert lines == [
        "digits search: 2/12 trials after 01:00, about 09:00 left, best val error 7.00 %",
        "digits search: 2/12 trials after 02:00, about 18:00 left, best val error 7.00 %",
        "digits search: 4/12 trials after 03:00, about 07:00 left, best val error 7.00 %",
        "digits search: 4/12 trials after 04:00, about 09:20 left, best val error 7.00 %",
    ]


def test_a_short_run_leaves_no_lines_of_progress_in_a_log(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(total=2, done=0, label="digits search")
    for number in range(1, 11):
        clock.now += 5
        shown.tell("epoch", epoch("a", number))
    shown.tell("trials", ended("a", "b"))
    shown.close()
    assert capsys.readouterr().err == ""


def test_what_happens_is_a_line_at_once_wherever_it_goes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(total=2, done=0, label="digits search")
    shown.tell("trials", [("a", "failed", "no memory")])
    shown.tell("waiting", 3)
    shown.close()
    assert re.sub(r"\s+", " ", capsys.readouterr().err).strip() == (
        "trial a failed: no memory waiting for 3 trials that another command trains"
    )


def test_the_events_of_a_worker_count_every_trial_once(tmp_path: Path) -> None:
    """Also of a stack of which one diverges: its rows come with those of the others."""
    dataset = images()
    stack = [trial(dataset, seed=seed, epochs=4, **({"lr": 1e30} if seed == 1 else {})) for seed in range(3)]
    job = Job(tmp_path, [stack], {stack[0].dataset: dataset}, "cpu", {"study": "s", "phase": "search"})
    shown = Progress(total=6, done=0, label="digits search")
    reached = []

    def tell(kind: str, content: object) -> None:
        shown.tell(kind, content)
        reached.append(shown.done + sum(shown.under_way.values()))

    work(job, tell)
    shown.close()
    assert reached == [0.75, 1.5, 2.25, 3, 3]  # the rows come before the last epoch
    assert list(read(tmp_path).sort_values("seed")["status"]) == ["ok", "diverged", "ok"]
