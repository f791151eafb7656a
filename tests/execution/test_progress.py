"""Whoever reads a log of a long run sees how far it is, and a terminal's bar is not written into files."""

from __future__ import annotations

import re

import pytest

from runner.execution import progress
from runner.execution.progress import Progress


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
    """Of ten epochs of a stack of two trials."""
    return stack, 2, number, 10, error


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
