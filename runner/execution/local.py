"""One phase of a study, the search or the fresh-seed runs: `train(...)` trains what has no row yet, on this machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.execution import pool, provenance, worker
from runner.execution.failures import once
from runner.execution.gpu_stack_size import Size, measure_in_subprocess, measure_stack_sizes
from runner.execution.progress import Progress, counted
from runner.execution.saved import sweep_up
from runner.models.settings import ModuleSettings
from runner.records.read import exists, read
from runner.records.records import Records
from runner.system.devices import train_apart, worker_count
from runner.trials import plan
from runner.trials.trial import StackKey, Trial


@dataclass(frozen=True)
class Resources:
    """What all studies of a command share: how they are run, their data, and what they are trained on.

    Args:
        run: the command's settings that are the same for all trials.
        datasets: loaded, by their settings.
        devices: names of the devices that train, one process each; one name where there is one device.
        meanwhile: called once, while other processes train.
        sizes: of stacks, as far as measured, by `Trial.stack_key`.
        told: the modules of which it was said how they are computed.
    """

    run: RunSettings
    datasets: Mapping[DatasetSettings, Dataset]
    devices: tuple[str, ...]
    meanwhile: Callable[[], None] = lambda: None
    sizes: dict[StackKey, Size] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    @property
    def device(self) -> str:
        """The kind of device, or the only one."""
        return self.devices[0] if len(self.devices) == 1 else "cuda"

    def processes(self, stacks: int) -> int:
        """How many processes train so many stacks."""
        return worker_count(self.run.workers, self.devices, stacks)

    def layout(self, trials: Iterable[Trial], workers: int, deadline: float | None = None) -> plan.Layout:
        """How to lay trials into stacks for so many processes.

        Args:
            trials: whose stacks a GPU is to be measured with, where the user gives no size.
            workers: processes that share the stacks.
            deadline: time.time() by which training ends, if it must.
        """
        run, trials = self.run, list(trials)
        measured = {**self._measured(trials, deadline), **self._module_ways(trials)}
        return plan.Layout(self.device, run.stack, workers, measured, run.exact, run.compute)

    def _module_ways(self, trials: Iterable[Trial]) -> plan.Sizes:
        """How stacks of somebody's modules are computed, for keys of `trials` that have one; it is said once."""
        keys = {trial.stack_key: trial for trial in trials if isinstance(trial.model, ModuleSettings)}
        if not keys:
            return {}
        from runner.execution.module_way import module_way  # imports torch

        ways = {}
        for key, trial in keys.items():
            assert isinstance(trial.model, ModuleSettings)
            make = trial.model.make
            way = module_way(trial.model, self.datasets[trial.dataset], trial.batch_size)
            if way.must and self.run.compute == "stack":
                raise UserError(f"compute=stack: not with model.make={make}, for {way.why}")
            if way.why and self.run.compute != "lanes" and make not in self.told:
                say(f"{make}: its trials are computed one by one: {way.why}")
                self.told.add(make)
            if way.must or not self.device.startswith("cuda"):
                size = self.sizes.get(key)
                ways[key] = plan.Chosen(size.trials if size else way.most, way.way)
        return ways

    def _measured(self, trials: Iterable[Trial], deadline: float | None) -> plan.Sizes:
        """Size and way of stacks, for keys of `trials` for which a GPU is to say them; {} where it is not."""
        if self.run.stack or not self.device.startswith("cuda"):
            return {}
        new = [trial for trial in trials if trial.stack_key not in self.sizes]
        count = self.processes(len(new))
        arguments = (new, self.datasets, self.devices[0], count, self.run, deadline)
        sizes = measure_stack_sizes(*arguments) if count == 1 else measure_in_subprocess(*arguments)
        for size in sizes.values():
            say(size.text())
        self.sizes.update(sizes)
        return {key: plan.Chosen(size.trials, size.way) for key, size in self.sizes.items()}


@dataclass(frozen=True)
class PhaseOutcome:
    """`count` trials were trained, `late` were not because of max_minutes, `lost` for another reason."""

    count: int = 0
    late: int = 0
    lost: int = 0

    def __add__(self, other: PhaseOutcome) -> PhaseOutcome:
        return PhaseOutcome(self.count + other.count, self.late + other.late, self.lost + other.lost)


def train(
    trials: Mapping[str, Trial],
    phase: str,
    resources: Resources,
    records: Records,
    deadline: float | None = None,
) -> PhaseOutcome:
    """Train what has no row yet.

    Args:
        trials: all trials of the phase, by id.
        phase: "search", "refine" or "final".
        resources: what the command trains with.
        records: of the study; of a part of it for the job of a launcher, which leaves to others what they are training.
        deadline: time.time() after which no stack should still run.
    """
    folder = records.folder
    done, failed = records.done(), records.failed()
    missing = [trial for key, trial in trials.items() if key not in done]
    if not missing:
        sweep_up(folder, records)
        return PhaseOutcome()
    stored = plan.StoredPlan(folder, records.lock, records.part)
    layout = resources.layout(stored.known(missing)[1], resources.processes(len(missing)), deadline)
    stacks = stored.follow(missing, layout)
    count = resources.processes(len(stacks))
    for name in sorted({trial.optimizer.name for trial in missing if not trial.stackable}):
        say(f"{name}: cannot be stacked, so its trials run one by one")
    pace = {key: size.seconds for key, size in resources.sizes.items()} | _pace(folder, trials) if deadline else {}
    job = worker.Job(
        folder=folder,
        plan=stacks,
        datasets=resources.datasets,
        device=resources.devices[0],
        devices=resources.devices if len(resources.devices) > 1 else (),
        stamps=_stamps(folder.name, phase, resources.run.record_host),
        run=resources.run,
        deadline=deadline,
        processes=1 if resources.device.startswith("cuda") else count,
        pace=pace,
        part=records.part,
        failed=failed,
    )
    say(
        f"{what_is_missing(folder, phase, len(trials), len(missing))} in {counted(len(stacks), 'stack')}, "
        f"{counted(count, 'process')} on {', '.join(resources.devices)}"
    )
    return _train_job(job, count, len(trials), len(missing), resources, records)


def what_is_missing(folder: Path, phase: str, trials: int, missing: int) -> str:
    """'digits-resnet: 3 search trials (1 of 4 already done)'.

    `folder`: of the study; `phase`: "search", "refine" or "final"; `trials`: of the phase; `missing`: without a row.
    """
    done = f" ({trials - missing} of {trials} already done)" if missing < trials else ""
    return f"{folder.name}: {counted(missing, f'{phase} trial')}{done}"


def _stamps(study: str, phase: str, with_host: bool) -> dict[str, str]:
    """The columns that all rows of a phase share."""
    return {
        "study": study,
        "phase": phase,
        "commit": provenance.commit(),
        "version": provenance.version(),
        "code": provenance.fingerprint(),
        "host": provenance.host() if with_host else "",
    }


def _train_job(
    job: worker.Job, count: int, trials: int, missing: int, resources: Resources, records: Records
) -> PhaseOutcome:
    """Train a job with `count` processes; says why trials were left.

    Args:
        job: its plan has the `missing` ones of so many `trials`.
        count: processes that train.
        trials: of the phase.
        missing: those without a row.
        resources: what the command trains with.
        records: of the study or a part of it.
    """
    phase = job.stamps["phase"]
    progress = Progress(trials, trials - missing, f"{job.folder.name} {phase}")
    apart = train_apart(job.run.workers, resources.devices, len(job.plan))
    try:
        pool.run(job, count if apart else 0, once(progress.tell), resources.meanwhile, wait=not job.part)
    finally:
        progress.close()
    sweep_up(job.folder, records)
    # A trial that one process skipped as too late may have been trained by another that had timed its shape, and what
    # one has no room for another may have trained.
    late = len(progress.late - records.done()) if progress.late else 0
    lost = len(progress.open - records.done(progress.open)) if progress.open else 0
    count = missing - late - lost
    if late:
        left = f"max_minutes={job.run.max_minutes:g}: {counted(late, f'{phase} trial')} left"
        say(f"{left}; {'the same command goes on' if count else _too_short(progress.needed)}")
    if lost:
        say(
            f"{counted(lost, f'{phase} trial')} left open for want of memory ({progress.short}): close what else runs, "
            "or give workers=1, a smaller batch_size or model; the same command goes on"
        )
    return PhaseOutcome(count, late, lost)


def _too_short(needed: float) -> str:
    """What to do where not one stack was started, which the same command would only repeat."""
    if not needed < math.inf:
        return "it was over before a stack could be started; give more minutes"
    return (
        f"no stack fits, the shortest takes about {needed / 60:.2g} minutes: give more of them than that, which counts "
        "from the start of the program, or a smaller stack=N"
    )


def _pace(folder: Path, trials: Mapping[str, Trial]) -> dict[StackKey, float]:
    """Seconds for each trial of a stack key, from those that have been trained before."""
    if not exists(folder):
        return {}
    rows = read(folder)
    seconds: dict[StackKey, list[float]] = defaultdict(list)
    for key, took in zip(rows["trial"], rows["seconds"], strict=True):
        if key in trials and took == took:
            seconds[trials[key].stack_key].append(took)
    return {key: sum(times) / len(times) for key, times in seconds.items()}


def say(text: str) -> None:
    """Print `text`, a line of what a command is doing."""
    print(text, flush=True)
