"""Whether a report is up to date is known by its rows, not by times; and only one is written at a time."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.records.read import read
from runner.records.records import Records
from runner.report.extend import extension
from runner.report.fingerprint import fingerprint, is_current, kept
from runner.report.plots import style
from runner.report.write import summary, write_report
from runner.system import called
from tests.report.studies import LRS, search, trial, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(style, "DPI", 40)
    return write(tmp_path / "made-up", search(lrs=LRS[:1], seeds=(0,)))


def aged(folder: Path, seconds: float) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))


def test_a_report_is_current_by_its_rows_whatever_the_times_of_its_files(folder: Path) -> None:
    assert not is_current(folder, fingerprint(folder))
    write_report(folder)
    assert is_current(folder, fingerprint(folder))
    aged(folder, 1e9)
    os.utime(folder / "report.html", (1.0, 1.0))
    assert is_current(folder, fingerprint(folder))
    Records(folder).append_trials([trial("adamw", 1e-3, 0.5, 7)])
    aged(folder, 1e9)  # as a clone or a copy leaves them
    assert not is_current(folder, fingerprint(folder))
    write_report(folder)
    assert is_current(folder, fingerprint(folder))
    (folder / "generalization.md").unlink()
    assert not is_current(folder, fingerprint(folder))


def test_what_a_current_report_says_on_a_terminal_is_kept_as_long_as_it_is_true(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept(folder, fingerprint(folder)) == ""
    said = write_report(folder).terminal
    assert kept(folder, fingerprint(folder)) == said == summary(folder)
    assert kept(folder, fingerprint(folder, "adamw")) == ""  # another reference
    assert extension(folder, [results(b) for b in split(read(folder))]) in said
    with monkeypatch.context() as patch:
        patch.setenv(called.SCRIPT, "scripts/run")  # its commands would be another's
        assert kept(folder, fingerprint(folder)) == ""
    moved = folder.rename(folder.with_name("moved"))  # and their study
    assert kept(moved, fingerprint(moved)) == ""
    moved.rename(folder)
    assert kept(folder, fingerprint(folder)) == said
    (folder / ".state" / "terminal.txt").write_bytes(b"\xff")
    assert kept(folder, fingerprint(folder)) == ""
    write_report(folder)
    Records(folder).append_trials([trial("adamw", 1e-3, 0.5, 7)])
    assert kept(folder, fingerprint(folder)) == ""


def _report(folder: Path, seed: int) -> None:
    style.DPI = 40
    for number in range(2):
        Records(folder).append_trials([trial("adamw", 1e-3, 0.5, 10 * seed + number)])
        write_report(folder)


def test_reports_at_once_wait_for_each_other_and_the_last_is_of_all_rows(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_report, args=(folder, seed)) for seed in (1, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert is_current(folder, fingerprint(folder))
    assert not list(folder.rglob(".*.part"))
