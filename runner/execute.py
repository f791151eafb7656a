"""Trials to rows: plans stacks, trains them in this process or in several, appends what they yield.

`execute(job)` is the call to know. There is no scheduler: every process walks the same list of stacks, claims
what nobody else holds, and skips what has a row.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import stamps
from runner.claims import Claims
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.interrupt import deferred
from runner.plan import Plan, StoredPlan, name
from runner.records import Records
from runner.targets import reached
from runner.training.options import Options
from runner.trials import Shape, Trial

if TYPE_CHECKING:
    from runner.training.checkpoint import Checkpoints
    from runner.training.train import Report

Tell = Callable[[str, Any], None]  # how a worker tells what happens: (kind of event, its content)


@dataclass(frozen=True)
class Job:
    """What `execute` needs to know; it travels to worker processes."""

    folder: Path
    plan: Plan
    datasets: Mapping[DatasetSettings, Dataset]
    device: str  # of this process; `devices` for several
    stamps: Mapping[str, str]  # columns that are the same for every row: study, phase, commit, version, host
    options: Options = field(default_factory=Options)
    deadline: float | None = None  # time.time() after which no stack should still run
    threads: int = 1
    processes: int = 1  # that share the device's memory
    devices: tuple[str, ...] = ()  # one process each, where there are several
    pace: dict[Shape, float] = field(default_factory=dict)  # seconds per trial, by shape
    part: str = ""  # of the records, which it writes: "" for the study's own tables
    failed: frozenset[str] = frozenset()  # marks of the failed rows that are tried again, once


def work(job: Job, tell: Tell, wait: bool = True) -> None:
    """Train what is left of the plan, stack by stack. With `wait`, stay until other processes have done theirs."""
    records, claims = Records(job.folder, job.part), Claims(job.folder)
    queue = [stack for stack in job.plan if _open(job, stack, records)]
    told_waiting = False
    while queue:
        busy: Plan = []
        progressed = False
        while queue:
            stack = _open(job, queue.pop(0), records)
            if not stack:
                continue
            if _too_late(job, stack):
                tell("late", [trial.id for trial in stack])
                continue
            ours = claims.take(trial.id for trial in stack)
            # Another process may have finished one between the look and the claim.
            done = records.ended(job.failed)
            mine = [trial for trial in stack if trial.id in ours and trial.id not in done]
            claims.give(ours & done, done)
            theirs = [trial for trial in stack if trial.id not in ours]
            if theirs:
                busy.append(theirs)
            if mine:
                progressed = True
                try:
                    queue[:0] = _train(job, mine, records, tell)
                finally:
                    claims.give([t.id for t in mine], records.ended(job.failed))
        queue = busy
        if queue and not wait:
            return
        if queue and not progressed:
            if not told_waiting:
                tell("waiting", sum(map(len, queue)))
                told_waiting = True
            time.sleep(0.2)


def _open(job: Job, stack: Sequence[Trial], records: Records) -> list[Trial]:
    ended = records.ended(job.failed)
    return [trial for trial in stack if trial.id not in ended]


def _too_late(job: Job, stack: Sequence[Trial]) -> bool:
    if job.deadline is None:
        return False
    if time.time() > job.deadline:
        return True
    shape = stack[0].shape
    if shape not in job.pace:  # nothing of this shape has been trained yet
        import torch

        from runner.estimate import seconds_per_trial

        torch.set_num_threads(job.threads)
        dataset = job.datasets[stack[0].dataset]
        job.pace[shape] = seconds_per_trial(stack, dataset, job.device, job.processes, job.options)
    return time.time() + job.pace[shape] * len(stack) > job.deadline


def _train(job: Job, stack: list[Trial], records: Records, tell: Tell) -> Plan:
    """Train one stack and record it. What cannot be trained together comes back as smaller stacks."""
    import torch

    from runner.training.heap import keep_freed_memory
    from runner.training.memory import room
    from runner.training.train import failed_row, train

    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        gc.collect()  # so that nothing of an earlier stack counts as used
    dataset = job.datasets[stack[0].dataset]
    row_stamps = dict(job.stamps) | {"device": stamps.device(device)}
    clock = time.time()
    checkpoints = _checkpoints(job, stack, tell)
    try:
        if short := room(stack, dataset, device, job.processes):
            raise MemoryError(short)
        with deferred():
            saved = _saved(checkpoints, records, job)
            for report in train(stack, dataset, device, job.options, checkpoints=checkpoints, saved=saved):
                _record(report, row_stamps, records, tell)
                errors = [row["val_error"] for row in report.curves if row.get("val_error") is not None]
                tell("epoch", (stack[0].id, len(stack), report.epoch, stack[0].epochs, min(errors, default=None)))
    except UserError:
        raise
    except Exception as error:  # whatever it is, it must not stop the other trials
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        if len(stack) > 1:
            half = len(stack) // 2
            tell("note", f"a stack of {len(stack)} failed ({_reason(error)}); trying it in two halves")
            halves = [stack[:half], stack[half:]]
            StoredPlan(job.folder, records.lock, job.part).add(halves)
            checkpoints.split([_checkpoints(job, part, tell) for part in halves])
            return halves
        row = row_stamps | failed_row(stack[0], _reason(error))
        records.append_trials([row])
        tell("trials", [(row["trial"], "failed", row["note"])])
    checkpoints.remove()
    job.pace[stack[0].shape] = (time.time() - clock) / len(stack)
    return []


def _record(report: Report, stamps: Mapping[str, str], records: Records, tell: Tell) -> None:
    """Append what an epoch has brought."""
    records.append_curves(report.curves)
    records.append_cycles(report.cycles)
    if report.dynamics:
        records.append_dynamics(report.dynamics)
    records.append_trials([{**stamps, **row} for row in report.trials])
    if report.trials:
        tell("trials", [(r["trial"], r["status"], r.get("note", "")) for r in report.trials])


def _saved(checkpoints: Checkpoints, records: Records, job: Job) -> dict[str, Any] | None:
    """The state to go on from, unless the records have lost what came before it."""
    saved = checkpoints.load()
    if saved is not None:
        alive = [i for i, lives in zip(checkpoints.ids, saved["alive"], strict=True) if lives]
        if not records.has_curves(alive, saved["recorded"]):
            checkpoints.discard("is ahead of curves.csv")
            return None
        saved["target_epoch"] = reached(job.folder, checkpoints.ids, saved["recorded"], job.options.target_error)
    return saved


def _checkpoints(job: Job, stack: Sequence[Trial], tell: Tell) -> Checkpoints:
    from runner.training.checkpoint import Checkpoints

    path = job.folder / ".state" / "stacks" / f"{name(stack)}.pt"
    ids = [trial.id for trial in stack]
    return Checkpoints(path, ids, job.options.checkpoint_every, lambda text: tell("note", text))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def worker_count(wanted: int, devices: Sequence[str], stacks: int) -> int:
    """Processes to train with: one for each GPU, otherwise as many as there are cores, never more than stacks.

    A job of a launcher such as joblib is itself one of several processes and starts no more.
    """
    if multiprocessing.current_process().name != "MainProcess":
        return 1
    if devices[0].startswith("cuda"):
        return max(1, min(len(devices), stacks))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(wanted or cores, stacks))
