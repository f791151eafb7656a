"""Several processes on one job: `run(job, count, tell)` starts them, passes on what they tell, and outlives them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from runner.errors import UserError
from runner.execute import Job, Tell, work
from runner.interrupt import Interrupted

# Seconds that workers have to save their state in. A person who will not wait so long presses Ctrl-C again, which ends
# them at once; on a busy machine a worker may need a while to come to the end of its step.
SAVING = 60.0
SAVING_JOB = 25.0  # the same in the job of a launcher: Slurm waits 30 before it kills (KillWait)
# A fork server imports torch once, while this process still reads its data, and every worker is a copy of it.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def warm_up() -> None:
    """Begin to import what workers need, in the background; call it as early as it is known that there will be any."""
    if _METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(["runner.training.train", "runner.workers"])
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: Ctrl-C is for this process
        forkserver.ensure_running()
        signal.signal(signal.SIGINT, before)


def run(job: Job, count: int, tell: Tell, meanwhile: Callable[[], None] = lambda: None, wait: bool = True) -> None:
    """Train `job` with `count` processes, this one alone if `count` is 1; returns when every trial has its row.

    `meanwhile` is called in this process while others train. Without `wait`, trials that another command has claimed
    are left to it.
    """
    if count > 1:
        _run_workers(job, count, tell, meanwhile)
    # Here alone, or here last: what a worker that was killed gave back, and the wait for other commands' trials.
    work(job, tell, wait)


def _run_workers(job: Job, count: int, tell: Tell, meanwhile: Callable[[], None]) -> None:
    context: Any = multiprocessing.get_context(_METHOD)
    workers: dict[Connection, Any] = {}
    try:
        for index in range(count):
            mine = replace(job, device=job.devices[index]) if job.devices else job
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_main, args=(mine, there), daemon=True)
            try:
                process.start()
            except (OSError, EOFError) as error:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                raise UserError(
                    f"workers={count}: a process could not be started ({reason}); is there memory for so many? "
                    "workers=1 does without, and the same command goes on"
                ) from error
            there.close()
            workers[here] = process
        meanwhile()
        _listen(workers, tell)
    except BaseException:
        _stop(list(workers.values()), SAVING_JOB if job.part else SAVING)
        raise
    finally:
        for process in workers.values():
            process.join()


def _stop(processes: Sequence[Any], seconds: float) -> None:
    """End workers: each saves the state of its stack first, if it can in time. A second signal ends them at once."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def kill(*_: object) -> None:
        for process in processes:
            process.kill()

    for s in before:
        signal.signal(s, kill)
    for process in processes:
        process.terminate()
    end = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    kill()
    for s, handler in before.items():
        signal.signal(s, handler)


def _listen(workers: dict[Connection, Any], tell: Tell) -> None:
    open_ends = list(workers)
    while open_ends:
        for end in wait(open_ends):
            assert isinstance(end, Connection)
            try:
                kind, content = end.recv()
            except EOFError:
                open_ends.remove(end)
                continue
            if kind == "refused":
                raise UserError(content)
            tell(kind, content)


def _main(job: Job, parent: Connection) -> None:
    """A worker process: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def tell(kind: str, content: Any) -> None:
        try:
            parent.send((kind, content))
        except OSError:  # the parent is gone: nobody wants the rest
            sys.exit(1)

    try:
        work(job, tell, wait=False)
    except UserError as error:
        tell("refused", str(error))
    except Interrupted:
        pass  # its state is saved, and the parent says so
