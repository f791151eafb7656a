"""Disks that are full or read-only, and locks that others hold: one line says so, and the same command goes on."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from runner.errors import UserError
from runner.execution.trial_locks import TrialLocks
from runner.records.read import read
from runner.records.records import Records
from runner.system import locks as lock
from runner.system.files import append
from runner.system.locks import Lock, _note
from tests.damage import (
    MORE,
    TWO,
    check_refused,
    check_went_on,
    command,
    mounted,
    remounted,
    rows,
    unmounted,
)
from tests.waiting import PATIENCE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the results."""
    mounted(tmp_path / "results", "4m")
    yield tmp_path
    unmounted(tmp_path / "results")


def fill(folder: Path) -> Path:
    """Not a byte is left."""
    filler, room = folder / "filler", os.statvfs(folder)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize))
    assert os.statvfs(folder).f_bavail == 0
    return filler


@pytest.mark.campaign
def test_a_disk_too_small_for_the_report_has_the_rows(disk: Path, calm: Path) -> None:
    remounted(disk / "results", "size=64k")
    check_refused(
        command(disk, *MORE), "cannot write the report (No space left on device)", "free space", "no row is lost"
    )
    pd.testing.assert_frame_equal(rows(disk), rows(calm))
    assert not list(disk.rglob(".*.part"))
    remounted(disk / "results", "size=4m")
    check_went_on(command(disk, *MORE), "already done")
    assert (disk / "results" / "s" / "report.html").stat().st_size > 50_000


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["trials.csv", "curves.csv", "study.yaml", "plan.csv"])
def test_a_disk_that_is_full_leaves_each_file_as_it_was_and_the_same_command_goes_on(
    name: str, disk: Path, two: Path, calm: Path
) -> None:
    study = disk / "results" / "s"
    shutil.copytree(two / "results" / "s", study)
    # The disk hands out 4096 bytes at a time: this file has 4 left, so of what is appended the most has no room.
    path, pad = study / name, b"#" if name == "study.yaml" else b"x"
    path.write_bytes(path.read_bytes() + pad * (4091 - path.stat().st_size) + b"\n")
    before = path.read_bytes()
    filler = fill(disk / "results")
    check_refused(
        command(disk, *MORE), f"results/s/{name}: cannot append (No space left on device)", "free space", "goes on"
    )
    assert path.read_bytes() == before
    filler.unlink()
    said = command(disk, *MORE)
    check_went_on(said)
    assert "torn" not in said.text
    mine, wanted = (read(folder / "results" / "s").drop(columns=["started"]) for folder in (disk, calm))
    assert sorted(mine["trial"]) == sorted(wanted["trial"])
    assert path.read_bytes().startswith(before)


def no_file_above(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_limit_on_the_size_of_files_is_one_line_and_no_row_is_torn(tmp_path: Path, two: Path, calm: Path) -> None:
    shutil.copytree(two / "results", tmp_path / "results")
    path = tmp_path / "results" / "s" / "trials.csv"
    shutil.copy(
        calm / "results" / "s" / "study.yaml", path.parent
    )  # which knows the command, so nothing is added to it
    before = path.read_bytes()
    assert len(before) == max(
        file.stat().st_size for file in path.parent.glob("*.csv") if file.name != "generalization.csv"
    )
    said = command(tmp_path, *MORE, before=functools.partial(no_file_above, len(before) + 100))
    check_refused(said, "trials.csv: cannot append (File too large)", "free space")
    assert path.read_bytes() == before
    check_went_on(command(tmp_path, *MORE))
    pd.testing.assert_frame_equal(rows(tmp_path), rows(calm))


@pytest.mark.campaign
def test_a_read_only_disk_is_refused_before_anything_is_trained(disk: Path, two: Path) -> None:
    shutil.copytree(two / "results" / "s", disk / "results" / "s")
    remounted(disk / "results", "ro")
    check_refused(command(disk, *MORE), "cannot write there (Read-only file system)", "results=")
    check_refused(command(disk, *MORE, "study=another"), "cannot write there (Read-only file system)", "results=")
    said = command(disk, "results/s", module="runner.report")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "Read-only file system" in said.err
    remounted(disk / "results", "rw")


def test_results_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_refused(command(tmp_path, *MORE, "results=file/below"), "file/below/s", "cannot write there", "results=")


@pytest.mark.parametrize(("number", "call"), [(errno.EIO, "fsync"), (errno.ENOSPC, "write"), (errno.EDQUOT, "write")])
def test_what_the_disk_refuses_leaves_the_file_as_it_was(
    number: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "file", b"whole\n")
    honest, calls = getattr(os, call), 0

    def refuse(descriptor: int, data: bytes = b"") -> int:
        nonlocal calls
        calls += 1
        if call == "write" and calls == 1:
            return int(honest(descriptor, data[:5]))  # a short write, as at the end of a disk
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(UserError, match=f"cannot append .{os.strerror(number)}.*free space"):
        append(tmp_path / "file", b"of which only a part is written\n")
    assert (tmp_path / "file").read_bytes() == b"whole\n"


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: honest(descriptor, data[:7]))
    Records(tmp_path).append_trials([{"trial": "a", "phase": "search", "status": "failed"}])
    monkeypatch.undo()
    assert list(read(tmp_path)["trial"]) == ["a"]


def test_a_command_says_which_lock_it_waits_for_and_goes_on_when_it_is_free(tmp_path: Path, two: Path) -> None:
    shutil.copytree(two / "results", tmp_path / "results")
    lock = tmp_path / "results" / "s" / ".state" / "records.lock"
    holder = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1])\nwith lock: print('held', flush=True); input()"
    )
    words = [sys.executable, "-c", holder, str(lock)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        words = [sys.executable, "-m", "runner", *TWO]
        with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mine:
            assert mine.stderr is not None
            line = mine.stderr.readline()
            assert line.startswith("note: waiting for results/s/.state/records.lock, which another process holds")
            assert mine.poll() is None
            other.kill()  # which frees it: the system takes a lock from the dead
            out, err = mine.communicate(timeout=PATIENCE)
    assert (mine.returncode, err) == (0, "")
    assert "already done" in out


def test_a_short_wait_for_a_lock_is_not_worth_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # However long the machine takes to release it: the wait is short beside what is waited for silently.
    monkeypatch.setattr(lock, "PATIENCE", PATIENCE)
    other, released = FileLock(tmp_path / "lock", thread_local=False), threading.Event()
    other.acquire()

    def release() -> None:
        released.set()
        other.release()

    threading.Timer(0.3, release).start()
    with Lock(tmp_path / "lock"):
        assert released.is_set()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock here")])
def test_where_a_file_system_has_no_locks_those_of_this_machine_serve(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    honest = FileLock.acquire

    def refuse(self: FileLock, *given: Any, **more: Any) -> Any:
        if Path(self.lock_file).is_relative_to(tmp_path):
            raise error
        return honest(self, *given, **more)

    honest_call = fcntl.fcntl

    def refuse_bytes(file: int, *given: Any) -> Any:
        if Path(os.readlink(f"/proc/self/fd/{file}")).is_relative_to(tmp_path):
            raise error
        return honest_call(file, *given)

    monkeypatch.setattr(FileLock, "acquire", refuse)
    monkeypatch.setattr(fcntl, "fcntl", refuse_bytes)
    _note.cache_clear()
    one, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    with one:
        assert not other.take(0)
    assert other.take(0)
    other.release()
    said = capfd.readouterr().err
    assert said.count("a file system without locks") == 1
    assert "give one command at a time" in said
    Records(tmp_path).append_trials([{"trial": "a", "phase": "search", "status": "failed"}])
    mine, theirs = TrialLocks(tmp_path), TrialLocks(tmp_path)
    assert mine.acquire(["a"]) == {"a"}
    assert theirs.acquire(["a"]) == set()
    assert not (tmp_path / ".state" / "claims.lock").stat().st_size
    assert list(read(tmp_path)["trial"]) == ["a"]


def test_a_lock_that_is_refused_for_another_reason_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(UserError, match=r"records.lock: cannot write there \(Permission denied.*results="):
        Records(tmp_path).done()
