"""Several processes on one job: `run(job, count, tell)` starts them, passes on what they tell, and outlives them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from runner.errors import UserError
from runner.execution.failures import Tell
from runner.execution.worker import Job, work
from runner.system import signals
from runner.system.locks import advice
from runner.system.shortage import is_shortage, reason
from runner.system.signals import Interrupted, deferred
from runner.system.socket_folder import short_folder

# Seconds that workers have to save their state in. A person who will not wait so long presses Ctrl-C again, which ends
# them at once; on a busy machine a worker may need a while to come to the end of its step.
SAVING = 60.0
SAVING_JOB = 25.0  # the same in the job of a launcher: Slurm waits 30 before it kills (KillWait)
# A fork server imports torch once, while this process still reads its data, and every worker is a copy of it.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_LOOK = 0.2  # seconds between two looks at whether an end is asked for


def warm_up() -> None:
    """Begin to import what workers need, in the background; call it as early as it is known that there will be any."""
    if _METHOD != "forkserver" or not short_folder() or threading.current_thread() is not threading.main_thread():
        return  # another thread may not set signals; the server then starts with the first worker
    multiprocessing.set_forkserver_preload(["runner.training.train", "runner.execution.pool"])
    # The server inherits what is ignored. Ctrl-C, and a SIGTERM to the whole group, are for this process: the server
    # ends with it, and as long as the server lives this process can ask it which of the workers live.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(job: Job, count: int, tell: Tell, meanwhile: Callable[[], None] = lambda: None, wait: bool = True) -> None:
    """Train `job`; returns when every trial has its row.

    Args:
        job: what is to be trained.
        count: processes that are started for it; 0: this one trains alone.
        tell: hears of what happens (`runner.execution.worker.work`).
        meanwhile: called in this process while others train.
        wait: whether to wait for trials that another command has claimed, not leave them to it.
    """
    if count and (_METHOD != "forkserver" or short_folder()):
        with deferred():
            _run_workers(job, count, tell, meanwhile)
    elif count > 1:
        tell(
            "note",
            f"TMPDIR={os.environ.get('TMPDIR', '')}: too long for the socket of worker processes, and no other place "
            "is writable; training in one process, and with TMPDIR=/tmp in several",
        )
    # Alone, or after the workers: this process trains what a killed worker has left, and waits for other commands.
    work(job, tell, wait)


def _run_workers(job: Job, count: int, tell: Tell, meanwhile: Callable[[], None]) -> None:
    context: Any = multiprocessing.get_context(_METHOD)
    workers: dict[Connection, Any] = {}
    warm_up()
    try:
        for index in range(count):
            its_job = replace(job, device=job.devices[index]) if job.devices else job
            try:
                own_end, worker_end = context.Pipe(duplex=False)
                process = context.Process(target=_main, args=(its_job, worker_end), daemon=True)
                process.start()
            except (OSError, EOFError) as error:
                if count == 1:
                    return  # this process trains alone, as on a machine with one core
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                help = advice(error) if isinstance(error, OSError) else ""
                raise UserError(
                    f"workers={count}: a process could not be started ({reason}); "
                    f"{help or 'is there memory for so many?'} workers=1 does without, and the same command goes on"
                ) from error
            worker_end.close()
            workers[own_end] = process
        meanwhile()
        _listen(list(workers), tell)
    except BaseException:
        _stop(workers, tell, SAVING_JOB if job.part else SAVING)
        raise
    finally:
        for process in workers.values():
            process.join()


def _stop(workers: dict[Connection, Any], tell: Tell, seconds: float) -> None:
    """End workers: each saves the state of its stack first, if it can in time."""
    end, open_ends = time.monotonic() + seconds, list(workers)
    while open_ends and time.monotonic() < end:
        for connection in open_ends:
            workers[connection].terminate()  # again and again: one that was only starting has missed the first
        for kind, content in _told(open_ends):
            if kind != "refused":
                tell(kind, content)
    for process in workers.values():
        process.kill()


def _listen(open_ends: list[Connection], tell: Tell) -> None:
    while open_ends:
        signals.check()
        for kind, content in _told(open_ends):
            if kind == "refused":
                raise UserError(content)
            tell(kind, content)


def _told(open_ends: list[Connection]) -> Iterator[tuple[str, Any]]:
    """What workers tell until it is time for another look; who has ended is taken off the list."""
    for end in wait(open_ends, _LOOK):
        assert isinstance(end, Connection)
        try:
            yield end.recv()
        except (EOFError, OSError):
            open_ends.remove(end)


def _main(job: Job, parent: Connection) -> None:
    """A worker process: it ends with its parent, leaves Ctrl-C to it, and saves its state once, whoever asks twice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.install(lambda number: os._exit(128 + number), [signal.SIGTERM])

    def tell(kind: str, content: Any) -> None:
        try:
            parent.send((kind, content))
        except OSError:  # the parent has exited; stop too
            sys.exit(1)

    try:
        work(job, tell, wait=False)
    except UserError as error:
        tell("refused", str(error))
    except Interrupted:
        pass  # the state is saved, and the parent tells the user
    except Exception as error:
        if not is_shortage(error):
            raise
        tell("note", f"a process ended for want of memory ({reason(error)}); the others go on")
