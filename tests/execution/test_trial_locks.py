"""Locks of trials: one open file for a process, freed by its death; a stack with a saved state goes whole."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runner.config.settings import RunSettings
from runner.errors import UserError
from runner.execution import saved, worker
from runner.execution.trial_locks import TrialLocks
from runner.execution.worker import Job, work
from runner.records.read import read
from runner.records.records import Records
from runner.system import locks
from runner.system.locks import Lock, refused
from runner.system.signals import Interrupted
from runner.trials.plan import StoredPlan
from tests.damage import QUICK, TWO, check_went_on, command
from tests.helpers import images, trial

DATASET = images()
TRIALS = [trial(DATASET, seed=seed, epochs=2) for seed in range(4)]


def job(folder: Path) -> Job:
    stamps = {"study": "s", "phase": "search"}
    run = RunSettings(checkpoint_every=0.0)
    return Job(folder, [TRIALS], {TRIALS[0].dataset: DATASET}, "cpu", stamps, run=run)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_all_claims_of_a_process_need_one_open_file(tmp_path: Path) -> None:
    before = open_files()
    locked = TrialLocks(tmp_path)
    assert len(locked.acquire(f"{number:010x}" for number in range(5000))) == 5000
    assert open_files() == before + 1
    assert [path.name for path in (tmp_path / ".state").iterdir()] == ["claims.lock"]


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_stacks_of_one_under_ulimit_n_64(tmp_path: Path) -> None:
    check_went_on(command(tmp_path, "-m", "seed=range(0,8)", "stack=1", *QUICK, before=few_files))


HOLDER = """
import sys
from pathlib import Path
from runner.execution.trial_locks import TrialLocks
locked = TrialLocks(Path(sys.argv[1]))
assert locked.acquire(["a"]) == {"a"}
open(Path(sys.argv[1]) / ".state" / "claims.lock").close()  # which drops the locks of a process, but not these
print("held", flush=True)
input()
"""


def test_a_claim_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        mine = TrialLocks(tmp_path)
        assert mine.acquire(["a", "b"]) == {"b"}
        assert mine.acquire(["a", "c"], whole=True) == set()
        third = TrialLocks(tmp_path)
        assert third.acquire(["c"]) == {"c"}  # which was given back
        mine.release(["b"])
        third.release(["c"])
        assert not mine.alone()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert mine.alone()
        assert mine.acquire(["a"]) == {"a"}


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of four, interrupted after its first epoch, whose state is saved."""
    honest = worker._record

    def record(*given: Any) -> None:
        honest(*given)
        raise Interrupted(15)

    StoredPlan(tmp_path, Records(tmp_path).lock).add([TRIALS])
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_record", record)
        with pytest.raises(Interrupted):
            work(job(tmp_path), lambda *_: None)
    assert saved.state(tmp_path, TRIALS).exists()
    return tmp_path


def test_a_stack_with_a_saved_state_is_left_whole_while_another_has_one_of_its_trials(stopped: Path) -> None:
    other = TrialLocks(stopped)
    other.acquire([TRIALS[2].id])
    work(job(stopped), lambda *_: None, wait=False)
    assert not (stopped / "trials.csv").exists()
    assert saved.state(stopped, TRIALS).exists()
    other.release([TRIALS[2].id])
    work(job(stopped), lambda *_: None, wait=False)
    assert set(read(stopped)["stack"]) == {4}
    assert not saved.state(stopped, TRIALS).exists()


def left_by_kills(folder: Path) -> list[Path]:
    stray = [folder / ".state" / place for place in ("stacks/0123456789.pt", "stacks/0123456789.part", "claims/abc")]
    for path in stray:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return stray


def test_what_kills_have_left_is_removed_by_the_next_command_on_a_finished_study(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "results", tmp_path / "results")
    study = tmp_path / "results" / "s"
    stray = left_by_kills(study)
    other = TrialLocks(study)
    other.acquire(["another"])
    check_went_on(command(tmp_path, *TWO), "already done")
    assert all(path.exists() for path in stray)  # another command works on the study
    other.release(["another"])
    check_went_on(command(tmp_path, *TWO), "already done")
    assert not any(path.exists() for path in stray)
    assert not (study / ".state" / "claims").exists()


def test_what_may_still_be_wanted_stays(stopped: Path) -> None:
    (stray, *_) = left_by_kills(stopped)
    saved.sweep_up(stopped, Records(stopped))
    assert stray.exists()
    assert saved.state(stopped, TRIALS).exists()


def attempts(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "claims": lambda: TrialLocks(path),
        "lock": lambda: Lock(path / "lock").take(),
        "records": lambda: Records(path).append_trials([{"trial": "a", "status": "failed"}]),
    }


@pytest.mark.parametrize("what", ["claims", "lock", "records"])
def test_too_many_open_files_say_what_to_raise(what: str, tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Too many open files.*ulimit -n"):
            attempts(tmp_path)[what]()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("number", "help"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "file-max"),
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "quota"),
        (errno.ENOMEM, "ulimit -v"),
        (errno.EROFS, "results="),
        (errno.EACCES, "results="),
    ],
)
def test_the_help_fits_what_the_system_refuses(number: int, help: str) -> None:
    text = str(refused(Path("lock"), OSError(number, os.strerror(number))))
    assert help in text
    assert ("free space" in text) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert locks.advice(OSError(number, "")) in text


def test_claims_hold_where_locks_are_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems without locks of an open file, such as macOS."""
    monkeypatch.setattr("runner.execution.trial_locks._OF_FILE", (0, 0))
    mine = TrialLocks(tmp_path)
    assert mine.acquire(["a", "b"]) == {"a", "b"}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        assert other.submit(taken, tmp_path, ["a", "c"]).result() == {"c"}
        mine.release(["a"])
        assert other.submit(taken, tmp_path, ["a", "b"]).result() == {"a"}


def taken(folder: Path, trials: list[str]) -> set[str]:
    return TrialLocks(folder).acquire(trials)
