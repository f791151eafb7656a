"""Trials to rows: plans stacks, trains them in this process or in several, appends what they yield.

`work(job, tell)` is the call to know. There is no scheduler: every process walks the same list of stacks, locks
what nobody else holds, and skips what has a row.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.execution import provenance, saved
from runner.execution.failures import Failures, Tell
from runner.execution.trial_locks import TrialLocks
from runner.records.records import Records
from runner.system.shortage import Patience, ShortError, is_shortage, reason
from runner.system.signals import deferred
from runner.trials.plan import Plan, StoredPlan
from runner.trials.trial import StackKey, Trial

if TYPE_CHECKING:
    from runner.training.checkpoint import Checkpoints
    from runner.training.rows import EpochRows


@dataclass(frozen=True)
class Job:
    """What `execute` needs to know; it travels to worker processes."""

    folder: Path
    plan: Plan
    datasets: Mapping[DatasetSettings, Dataset]
    device: str  # of this process; `devices` for several
    stamps: Mapping[str, str]  # columns that are the same for every row: study, phase, commit, version, code, host
    run: RunSettings = field(default_factory=RunSettings)
    deadline: float | None = None  # time.time() after which no stack should still run
    processes: int = 1  # that share the device's memory
    devices: tuple[str, ...] = ()  # one process each, where there are several
    pace: dict[StackKey, float] = field(default_factory=dict)  # seconds per trial
    part: str = ""  # of the records, which it writes: "" for the study's own tables
    failed: frozenset[str] = frozenset()  # marks of the failed rows that are tried again, once


def work(job: Job, tell: Tell, wait: bool = True) -> None:
    """Train what is left of the plan of `job`, stack by stack. With `wait`, stay until other processes are done too.

    `tell` hears of what happens: ("trials", rows), ("epoch", how far), ("late", ids and the seconds that they need) and
    ("open", ids and why) of trials that are left to a later call for want of time and of memory, ("waiting", how many),
    ("error", where) and ("note", a line).
    """
    records, locks, failures = Records(job.folder, job.part), TrialLocks(job.folder), Failures(job.folder, tell)
    ended = records.ended(job.failed, [trial.id for stack in job.plan for trial in stack])
    queue = deque(stack for stack in job.plan if any(trial.id not in ended for trial in stack))
    told_waiting, patience, short = False, Patience(), ""
    while queue:
        # One walk over what is left: it ends with the stacks that others train and those that found no memory.
        busy: Plan = []
        starved: Plan = []
        progressed = False
        while queue:
            stack = _still_to_train(job, queue.popleft(), records)
            if not stack:
                continue
            if (needed := _too_late(job, stack)) is not None:
                tell("late", ([trial.id for trial in stack], needed))
                continue
            # A stack with a saved state goes on as it was. So one process locks all of it, or none of it as long as
            # another trains some of its trials.
            locked = locks.acquire([trial.id for trial in stack], whole=saved.state(job.folder, stack).exists())
            try:
                # Another process may have finished a trial after this one looked and before it had the lock.
                own = _still_to_train(job, [trial for trial in stack if trial.id in locked], records)
                others = [trial for trial in stack if trial.id not in locked]
                if others:
                    busy.append(others)
                if own and (pieces := saved.divided(job.folder, own, records, tell)):
                    queue.extendleft(reversed(pieces))
                elif own:
                    halves = _train(job, own, records, tell, failures)
                    queue.extendleft(reversed(halves))
                    progressed |= not halves
            except ShortError as error:
                starved.append(own)
                short = str(error)
            finally:
                locks.release(locked)
        # Before the next walk: wait for memory, or for the processes that train the rest.
        if progressed:
            patience = Patience()
        elif starved:
            pause = patience.next()
            if pause is None:
                tell("open", ([trial.id for stack in starved for trial in stack], short))
                starved = []
            else:
                if patience.waited == 1:
                    tell("note", f"no memory ({short}); waiting for some, {len(starved)} to be trained")
                time.sleep(pause)
        elif busy and wait:
            if not told_waiting:
                tell("waiting", sum(map(len, busy)))
                told_waiting = True
            time.sleep(0.2)
        if not starved and not wait:
            return
        queue.extend([*starved, *busy])


def _still_to_train(job: Job, stack: Sequence[Trial], records: Records) -> list[Trial]:
    """Those of a stack's trials that are still to be trained."""
    ended = records.ended(job.failed, [trial.id for trial in stack])
    return [trial for trial in stack if trial.id not in ended]


def _too_late(job: Job, stack: Sequence[Trial]) -> float | None:
    """None where a stack will be done in time; else the seconds that it needs, or 0.0 where the deadline has passed."""
    if job.deadline is None:
        return None
    left = job.deadline - time.time()
    if left < 0:
        return 0.0
    key = stack[0].stack_key
    if key not in job.pace:  # no stack with this key has been trained yet
        import torch

        from runner.execution.estimate import seconds_per_trial

        torch.set_num_threads(1)
        dataset = job.datasets[stack[0].dataset]
        job.pace[key] = seconds_per_trial(stack, dataset, job.device, job.processes, job.run)
        left = job.deadline - time.time()
    needed = job.pace[key] * len(stack) * saved.share_left(job.folder, stack)
    return needed if needed > left else None


def _train(job: Job, stack: list[Trial], records: Records, tell: Tell, failures: Failures) -> Plan:
    """Train one stack and record it. What cannot be trained together comes back as smaller stacks.

    Raises ShortError where a single trial finds no memory. Only what goes wrong in training itself is a trial's
    failure: what a disk refuses, or a file that cannot be read, leaves the trial and its checkpoint as they are.
    """
    import torch

    from runner.system.memory import keep_freed_memory
    from runner.training.rows import failed_row

    torch.set_num_threads(1)
    device = torch.device(job.device)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        gc.collect()  # else tensors of an earlier stack still count as used memory
    row_stamps = dict(job.stamps) | {"device": provenance.device(device)}
    clock = time.time()
    with deferred():
        checkpoints = _checkpoints(job, stack, tell)
        error = _train_or_error(job, stack, row_stamps, records, checkpoints, tell)
        if error is not None:  # no error of one stack may stop the other trials
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            if not (short := is_shortage(error)):
                failures.note(error, [trial.id for trial in stack])
            if len(stack) > 1:
                half = len(stack) // 2
                tell("note", f"a stack of {len(stack)} failed ({reason(error)}); trying it in two halves")
                halves = [stack[:half], stack[half:]]
                StoredPlan(job.folder, records.lock, job.part).add(halves)
                checkpoints.split([_checkpoints(job, part, tell) for part in halves])
                return halves
            if short:
                raise ShortError(reason(error))
            row = row_stamps | failed_row(stack[0], reason(error))
            records.append_trials([row])
            tell("trials", [(row["trial"], "failed", row["note"])])
        checkpoints.remove()
        job.pace[stack[0].stack_key] = (time.time() - clock) / len(stack)
        return []


def _train_or_error(
    job: Job,
    stack: list[Trial],
    row_stamps: Mapping[str, str],
    records: Records,
    checkpoints: Checkpoints,
    tell: Tell,
) -> Exception | None:
    """Train a stack and record it. Returns the error that training it raised, or the want of memory, or None."""
    import torch

    from runner.training.cuda import refuse_broken
    from runner.training.memory import room
    from runner.training.train import train

    dataset, device = job.datasets[stack[0].dataset], torch.device(job.device)
    recording = True
    try:
        state = saved.to_go_on_from(checkpoints, records)
        if state is not None:
            target = job.run.target_error
            state["target_epoch"] = saved.reached(job.folder, checkpoints.ids, state["recorded"], target)
        recording = False
        if short := room(stack, dataset, device, job.processes):
            raise MemoryError(short)
        training = len(stack)
        for report in train(stack, dataset, device, job.run, checkpoints=checkpoints, saved=state):
            recording, training = True, training - len(report.trials)
            _record(report, row_stamps, records, tell)
            errors = [row["val_error"] for row in report.curves if row.get("val_error") is not None]
            tell("epoch", (stack[0].id, training, report.epoch, stack[0].epochs, min(errors, default=None)))
            recording = False
    except UserError:
        raise
    except Exception as error:
        if not is_shortage(error):
            if recording:
                raise
            refuse_broken(device)
        return error
    return None


def _checkpoints(job: Job, stack: Sequence[Trial], tell: Tell) -> Checkpoints:
    return saved.checkpoints(job.folder, stack, job.run.checkpoint_every, tell)


def _record(report: EpochRows, stamps: Mapping[str, str], records: Records, tell: Tell) -> None:
    """Append what an epoch has brought."""
    records.append_curves(report.curves)
    records.append_cycles(report.cycles)
    if report.dynamics:
        records.append_dynamics(report.dynamics)
    records.append_trials([{**stamps, **row} for row in report.trials])
    if report.trials:
        tell("trials", [(r["trial"], r["status"], r.get("note", "")) for r in report.trials])
