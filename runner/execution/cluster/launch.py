"""A phase of a study through one of Hydra's launchers: `train(...)` hands it shards and waits for them.

A shard is one job of the launcher: a list of trials, which it stacks and trains on whatever machine it is given,
writing a part of the records that nobody else writes. A shard never waits for another; what is lost with one is what
has no row when all have ended, and the same command again trains that.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.execution import local
from runner.execution.cluster.merge import merging
from runner.execution.cluster.shards import LaunchLog, split, steps, units
from runner.execution.failures import Failures
from runner.execution.local import PhaseOutcome, Resources, say, what_is_missing
from runner.execution.progress import counted
from runner.records import parts
from runner.records.records import Records
from runner.system import called
from runner.system.devices import resolve
from runner.system.signals import Interrupted, installed
from runner.system.streams import guarded
from runner.trials.plan import Plan
from runner.trials.trial import Facts, Trial


@dataclass(frozen=True)
class ShardOutcome:
    """What a shard returns: the trials that max_minutes left out, and why it stopped early, if it did."""

    late: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Shards:
    """The task of all jobs of a launch; each gets `+shard=3/8` (internal), its number among them.

    It is pickled, and holds all that a job must know, so that a job composes nothing.
    """

    folder: Path
    phase: str
    run: RunSettings
    shares: Plan
    launched: str  # when: jobs of later launches come later in the records

    @guarded("runner", lambda: True)
    def __call__(self, cfg: Mapping[str, Any]) -> ShardOutcome:
        shard = number(str(cfg.get("shard")), len(self.shares))
        part = parts.new(self.launched, shard)
        try:
            with _ending_with_a_saved_state():
                return self._train(self.shares[shard - 1], part)
        except UserError as error:
            return ShardOutcome(problem=str(error))
        except Exception as error:
            if type(error).__module__.startswith("submitit"):
                raise  # its own affair: the job's time is over
            traceback.print_exc()
            Failures(self.folder).note(error, [])
            return ShardOutcome(problem=f"{type(error).__name__}: {error}".splitlines()[0])
        finally:
            parts.end(parts.home(self.folder, part))

    def _train(self, share: Sequence[Trial], part: str) -> ShardOutcome:
        run = self.run if self.run.workers else replace(self.run, workers=_cpus())
        deadline = time.time() + 60 * run.max_minutes if run.max_minutes else None
        datasets: dict[DatasetSettings, Dataset] = {}
        for trial in share:
            if trial.dataset not in datasets:
                datasets[trial.dataset] = load(trial.dataset)
            if Facts.of(datasets[trial.dataset]) != replace(trial.facts, source=""):
                raise UserError(f"dataset={trial.dataset.name}: differs here from where the shards were launched")
        resources = Resources(run, datasets, resolve(run.device, run.devices))
        trials = {trial.id: trial for trial in share}
        done = local.train(trials, self.phase, resources, Records(self.folder, part), deadline)
        return ShardOutcome(done.late, f"{done.lost} left open for want of memory" if done.lost else "")


Launch = Callable[[Shards, Path], Sequence[ShardOutcome]]  # what the sweeper makes of its launcher


def number(text: str, count: int) -> int:
    """The 3 of the `text` 3/8, where `count` is 8. UserError for what no launch would say."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match.group(2)) != count or not 1 <= int(match.group(1)) <= count:
        raise UserError(f"shard={text}: must be one of 1/{count} to {count}/{count}; the sweeper sets it, not people")
    return int(match.group(1))


def _cpus() -> int:
    """The CPUs that Slurm gave this task, which may be fewer than it can see; 0 where it is not known."""
    text = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(text) if text.isdigit() else 0


@contextmanager
def _ending_with_a_saved_state() -> Iterator[None]:
    """SIGTERM, and the warning that submitit has Slurm send before a job's time is over, save the stacks first.

    The warning then goes to submitit, which puts the job back into the queue where it may (max_num_timeout). Obeyed
    at once, its exception would come up in the middle of a training step and be taken for a failure of that trial.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python delivers no signal
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    warned: list[int] = []

    def warn(which: int, frame: FrameType | None) -> None:
        warned.append(which)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        with installed(_terminate, [signal.SIGTERM]):
            for which in (signal.SIGUSR1, signal.SIGUSR2):
                if callable(before[which]):
                    signal.signal(which, warn)
            yield
    except Interrupted as error:
        for which, handler in before.items():
            signal.signal(which, handler)
        obey = before[signal.Signals(warned[0])] if warned else None
        if callable(obey):
            obey(warned[0], None)
        sys.exit(128 + error.number)
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _terminate(number: int) -> None:
    """What a launcher expects of its jobs. Where this is swallowed, the next stack sees that the signal was noted."""
    raise Interrupted(number)


def train(
    trials: Mapping[str, Trial],
    phase: str,
    resources: Resources,
    records: Records,
    launch: Launch,
    shards: int,
) -> PhaseOutcome:
    """Hand what has no row yet to the launcher as jobs; returns when the launcher does.

    Args:
        trials: all trials of the phase, by id.
        phase: "search", "refine" or "final".
        resources: what the command trains with.
        records: of the study.
        launch: the launcher.
        shards: the most jobs that it gets.
    """
    folder = records.folder
    done, failed = records.done(), records.failed()
    missing = {key: trial for key, trial in trials.items() if key not in done}
    if not missing:
        return PhaseOutcome()
    cost = _cost(missing.values(), resources.datasets)
    shares = split(units(missing.values(), folder, records.lock), shards, cost)
    launched = LaunchLog(folder).note(shares, phase, records.lock)
    say(f"{what_is_missing(folder, phase, len(trials), len(missing))} in {counted(len(shares), 'shard')}")
    say(f"waiting for them; {called.report(folder)} shows what there is")
    outcomes = _launched(launch, Shards(folder, phase, resources.run, shares, launched))
    left = len(missing.keys() - records.ended(failed))
    late = min(left, sum(outcome.late for outcome in outcomes))
    if left:
        text = counted(len(trials), f"{phase} trial")
        stuck = late == len(missing)  # the same command would leave them again
        short = f"max_minutes={resources.run.max_minutes} is too short for any stack"
        say(f"{folder.name}: {left} of {text} without a row; {short if stuck else 'the same command goes on'}")
    return PhaseOutcome(len(missing) - left, late, left - late)


def _launched(launch: Launch, task: Shards) -> Sequence[ShardOutcome]:
    """What became of each shard; none where the launcher gave up. Says what went wrong."""
    outcomes: Sequence[ShardOutcome] = ()
    try:
        with merging(task.folder):
            outcomes = launch(task, task.folder)
    except UserError:
        raise
    except Exception as error:  # each launcher has its own, for what happens to jobs
        told = " ".join(f"{type(error).__name__}: {error}".splitlines()[:2])
        say(f"the launcher gave up: {told}; jobs that run go on")
    for shard, outcome in enumerate(outcomes, 1):
        if outcome.problem:
            say(f"shard {shard}/{len(task.shares)}: {outcome.problem}")
    return outcomes


def _cost(trials: Iterable[Trial], datasets: Mapping[DatasetSettings, Dataset]) -> Callable[[Trial], float]:
    """The work of a trial: its steps, times the operations of one where these differ."""
    kinds = {_kind(trial): trial for trial in trials}
    if len(kinds) == 1:
        return steps
    from runner.execution.estimate import step_flops

    flops = {kind: step_flops(trial, datasets[trial.dataset]) for kind, trial in kinds.items()}
    return lambda trial: steps(trial) * flops[_kind(trial)]


def _kind(trial: Trial) -> tuple[object, ...]:
    return (trial.model, trial.batch_size, trial.dataset)
