"""Ctrl-C and SIGTERM at whatever moment: one line and the status of the signal, and what was computed is saved once."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.execution import pool
from runner.system import locks, signals
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints
from tests.damage import QUICK, Said, command
from tests.killing import job
from tests.waiting import PATIENCE, until

LINE = "nothing is lost; the same command goes on from there"
Moment = Callable[[], None]


def check_ended(said: Said, number: int) -> None:
    assert said.code == 128 + number, said.text
    assert said.err.count(LINE) == 1, said.text
    assert "Traceback" not in said.text
    assert "ignored" not in said.text


def send(number: int) -> None:
    """To this process; the handler runs before the next line."""
    os.kill(os.getpid(), number)


class Dying:
    """Sends a signal when it is collected."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        send(self.number)


class Plain:
    pass


def in_a_finalizer(number: int) -> None:
    dying = Dying(number)
    del dying


def in_a_weak_callback(number: int) -> None:
    plain = Plain()
    kept = weakref.ref(plain, lambda _: send(number))
    del plain
    assert kept() is None


def in_a_cycle(number: int) -> None:
    dying: Any = Dying(number)
    dying.me = dying
    del dying
    gc.collect()


MOMENTS = {"__del__": in_a_finalizer, "weakref": in_a_weak_callback, "gc": in_a_cycle, "plain": send}


def around(module: str, name: str, moment: Callable[[int], None], number: int) -> None:
    """Have it happen when this function is called."""
    import importlib

    owner = importlib.import_module(module)
    honest = getattr(owner, name)

    def with_signal(*given: Any, **more: Any) -> Any:
        moment(number)
        return honest(*given, **more)

    setattr(owner, name, with_signal)


class At:
    """A `before` of `command`, which must travel to its process."""

    def __init__(self, module: str, name: str, moment: str, number: int) -> None:
        self.module, self.name, self.moment, self.number = module, name, moment, number

    def __call__(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        around(self.module, self.name, MOMENTS[self.moment], self.number)


PLACES = {
    "composing": ("runner.__main__", "from_config"),
    "reading data": ("runner.study", "load"),
    "planning": ("runner.trials.plan", "packed"),
    "training": ("runner.training.step", "losses"),
    "recording": ("runner.execution.worker", "_record"),
    "drawing": ("runner.report.write", "write_report"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("moment", "number"), [("weakref", signal.SIGTERM), ("__del__", signal.SIGINT)])
def test_a_signal_where_an_exception_would_be_swallowed_ends_the_command(
    place: str, moment: str, number: int, tmp_path: Path
) -> None:
    module, name = PLACES[place]
    check_ended(command(tmp_path, "seed=0", *QUICK, before=At(module, name, moment, number)), number)


def child(folder: Path, code: str, *words: str) -> Said:
    """`python -m runner` with `code` run by its `sitecustomize`."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(code)
    more = {"PYTHONPATH": str(folder / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    return Said(done.returncode, done.stdout, done.stderr)


IMPORTING = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{name}":
            class Dying:
                def __del__(self): os.kill(os.getpid(), {number})
            dying = Dying()
            del dying
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("name", "number"), [("hydra", signal.SIGTERM), ("omegaconf.errors", signal.SIGINT), ("torch", signal.SIGTERM)]
)
def test_a_signal_while_modules_are_imported_is_one_line(name: str, number: int, tmp_path: Path) -> None:
    check_ended(child(tmp_path, IMPORTING.format(name=name, number=int(number)), "seed=0", *QUICK), number)


EXITING = "import atexit, os\natexit.register(lambda: os.kill(os.getpid(), {number}))\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_interpreter_shuts_down_is_one_line(number: int, tmp_path: Path) -> None:
    check_ended(child(tmp_path, EXITING.format(number=int(number)), "--version"), number)


def test_a_signal_that_nothing_looked_at_in_time_is_obeyed_at_the_end_of_the_block() -> None:
    reached = []

    def block() -> None:
        with signals.deferred():
            in_a_weak_callback(signal.SIGTERM)
            in_a_finalizer(signal.SIGTERM)  # a repeat
            reached.append(signals.requested())

    with pytest.raises(Interrupted, match="SIGTERM"):
        block()
    assert reached == [signal.SIGTERM]
    assert signals.requested() == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_process_that_waits_for_a_lock_looks_whether_it_is_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = locks.Lock(tmp_path / "lock")
    assert other.take()
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    monkeypatch.setattr(locks, "LOOK", 0.1)

    def wait() -> None:
        with signals.deferred():
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            locks.Lock(tmp_path / "lock").wait()

    with pytest.raises(Interrupted):
        wait()


def slow_saves() -> None:
    """Each worker takes a while to save, in which it is told to end again and again; what is saved is counted."""
    honest = Checkpoints.save

    def save(self: Checkpoints, state: dict[str, Any]) -> None:
        if not signals.requested():  # each pulse saves; only the last is of interest
            return
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.02)
        honest(self, state)
        with (self.path.parent / "saves").open("a") as file:
            file.write(f"{os.getpid()}\n")

    Checkpoints.save = save  # type: ignore[method-assign]


def test_a_worker_saves_once_whatever_comes_twice(tmp_path: Path) -> None:
    (tmp_path / "s" / ".state" / "stacks").mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        os.setpgrp()
        slow_saves()
        mine = job(tmp_path / "s")

        class Parent:
            def send(self, what: tuple[str, Any]) -> None:
                if what[0] == "epoch":
                    os.killpg(0, signal.SIGTERM)  # as `timeout` does, and then the parent

        pool._main(mine, Parent())  # type: ignore[arg-type]
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7  # it came back from its save in its own time
    saves = (tmp_path / "s" / ".state" / "stacks" / "saves").read_text().split()
    assert saves == [str(pid)]
    assert len(list((tmp_path / "s" / ".state" / "stacks").glob("*.pt"))) == 1


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_has_every_worker_save(number: int, tmp_path: Path) -> None:
    words = ["-m", "lr=1e-3,1e-2", "seed=0,1", "epochs=3000", "stack=2", "workers=2", "study=s", "model.width=4"]
    running = subprocess.Popen(
        [sys.executable, "-m", "runner", *words, "dataset.train=100"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    curves = tmp_path / "results" / "s" / "curves.csv"
    until(lambda: curves.exists() and len({r.split(",")[0] for r in curves.read_text().split("\n")[1:]}) > 4, running)
    os.killpg(running.pid, number)
    os.killpg(running.pid, number)
    _, said = running.communicate(timeout=PATIENCE)
    assert (running.returncode, said.count(LINE)) == (128 + number, 1), said
    assert "Traceback" not in said
    assert len(list((curves.parent / ".state" / "stacks").glob("*.pt"))) == 2
