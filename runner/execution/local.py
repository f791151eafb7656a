"""One phase of a study, the search or the fresh-seed runs: `train(...)` trains what has no row yet, on this machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.config.settings import Settings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.execution import pool, provenance, worker
from runner.execution.failures import once
from runner.execution.gpu_stack_size import Size, measure_in_subprocess, measure_stack_sizes
from runner.execution.progress import Progress, counted
from runner.execution.saved import sweep_up
from runner.records.read import exists, read
from runner.records.records import Records
from runner.system.devices import worker_count
from runner.training.options import Options
from runner.trials import plan
from runner.trials.trial import Shape, Trial


@dataclass(frozen=True)
class Given:
    """What all studies of a command share."""

    datasets: Mapping[DatasetSettings, Dataset]
    devices: tuple[str, ...]
    meanwhile: Callable[[], None] = lambda: None  # called once, while other processes train
    sizes: dict[Shape, Size] = field(default_factory=dict)  # of stacks, as far as measured, by shape

    @property
    def device(self) -> str:
        """The kind of device, or the only one."""
        return self.devices[0] if len(self.devices) == 1 else "cuda"

    def measure(self, trials: Iterable[Trial], settings: Settings, deadline: float | None = None) -> plan.Sizes:
        """Size and way of stacks, for shapes of `trials` for which a GPU is to say them; {} where it is not."""
        if settings.stack or not self.device.startswith("cuda"):
            return {}
        new = [trial for trial in trials if trial.shape not in self.sizes]
        count = worker_count(settings.workers, self.devices, len(new))
        given = (new, self.datasets, self.devices[0], count, watched(settings), deadline, settings.compute)
        found = measure_stack_sizes(*given) if count == 1 else measure_in_subprocess(*given)
        for size in found.values():
            say(size.text())
        self.sizes.update(found)
        return {shape: plan.Chosen(size.trials, size.way) for shape, size in self.sizes.items()}


@dataclass(frozen=True)
class Trained:
    """`count` trials were trained, `late` were not because of max_minutes, `lost` for another reason."""

    count: int = 0
    late: int = 0
    lost: int = 0

    def __add__(self, other: Trained) -> Trained:
        return Trained(self.count + other.count, self.late + other.late, self.lost + other.lost)


def train(
    folder: Path,
    trials: Mapping[str, Trial],
    phase: str,
    settings: Settings,
    given: Given,
    deadline: float | None,
    part: str = "",
    records: Records | None = None,
) -> Trained:
    """Train what has no row yet. `part`: for the job of a launcher, which leaves to others what they are training.

    `records`: those of the folder and part, where they have been looked at, which takes a while for many rows.
    """
    records = records or Records(folder, part)
    done, failed = records.done(), records.failed()
    missing = [trial for key, trial in trials.items() if key not in done]
    if not missing:
        sweep_up(folder, records)
        return Trained()
    workers_wanted = worker_count(settings.workers, given.devices, len(missing))
    stored = plan.StoredPlan(folder, records.lock, part)
    sizes = given.measure(stored.known(missing)[1], settings, deadline)
    stacks = stored.follow(
        missing, given.device, settings.stack, workers_wanted, sizes, settings.exact, settings.compute
    )
    count = worker_count(settings.workers, given.devices, len(stacks))
    for name in sorted({trial.optimizer.name for trial in missing if not trial.stackable}):
        say(f"{name}: cannot be stacked, so its trials run one by one")
    job = worker.Job(
        folder=folder,
        plan=stacks,
        datasets=given.datasets,
        device=given.devices[0],
        devices=given.devices if len(given.devices) > 1 else (),
        stamps={
            "study": folder.name,
            "phase": phase,
            "commit": provenance.commit(),
            "version": provenance.version(),
            "code": provenance.fingerprint(),
            "host": provenance.host() if settings.record_host else "",
        },
        options=watched(settings),
        deadline=deadline,
        processes=1 if given.device.startswith("cuda") else count,
        pace={shape: size.seconds for shape, size in given.sizes.items()} | _pace(folder, trials) if deadline else {},
        part=part,
        failed=failed,
    )
    kept = f" ({len(trials) - len(missing)} of {len(trials)} already done)" if len(missing) < len(trials) else ""
    say(
        f"{folder.name}: {counted(len(missing), f'{phase} trial')}{kept} in {counted(len(stacks), 'stack')}, "
        f"{counted(count, 'process')} on {', '.join(given.devices)}"
    )
    progress = Progress(len(trials), len(trials) - len(missing), f"{folder.name} {phase}")
    starved = Starved(once(progress.tell))
    try:
        pool.run(job, count, starved.tell, given.meanwhile, wait=not part)
    finally:
        progress.close()
    # What one process thought too late another may have had a pace for.
    late = len(progress.late - records.done()) if progress.late else 0
    lost = starved.left(records)
    count = len(missing) - late - lost
    if late:
        left = f"max_minutes={settings.max_minutes:g}: {counted(late, f'{phase} trial')} left"
        say(f"{left}; {'the same command goes on' if count else _too_short(progress.needed)}")
    sweep_up(folder, records)
    if lost:
        say(
            f"{counted(lost, f'{phase} trial')} left open for want of memory ({starved.reason}): close what else runs, "
            "or give workers=1, a smaller batch_size or model; the same command goes on"
        )
    return Trained(count, late, lost)


def _too_short(needed: float) -> str:
    """What to do where not one stack was started, which the same command would only repeat."""
    if not needed < math.inf:
        return "it was over before a stack could be started; give more minutes"
    return (
        f"no stack fits, the shortest takes about {needed / 60:.2g} minutes: give more of them than that, which counts "
        "from the start of the program, or a smaller stack=N"
    )


class Starved:
    """Passes on what is told, but for trials that were left open for want of memory: it remembers these, and why."""

    def __init__(self, tell: worker.Tell) -> None:
        self.pass_on, self.trials, self.reason = tell, set[str](), ""

    def tell(self, kind: str, content: Any) -> None:
        if kind == "open":
            ids, self.reason = content
            self.trials.update(ids)
        else:
            self.pass_on(kind, content)

    def left(self, records: Records) -> int:
        """How many of them have no row in the end: what one process has no room for another may have trained."""
        return len(self.trials - records.done(self.trials)) if self.trials else 0


def watched(settings: Settings) -> Options:
    """How these settings want a run watched."""
    return Options(
        settings.eval_every, settings.target_error, settings.eval_all, settings.diagnostics, settings.checkpoint_every
    )


def _pace(folder: Path, trials: Mapping[str, Trial]) -> dict[Shape, float]:
    """Seconds for each trial of a shape, from those that have been trained before."""
    if not exists(folder):
        return {}
    rows = read(folder)
    seconds: dict[Shape, list[float]] = defaultdict(list)
    for key, took in zip(rows["trial"], rows["seconds"], strict=True):
        if key in trials and took == took:
            seconds[trials[key].shape].append(took)
    return {shape: sum(found) / len(found) for shape, found in seconds.items()}


def say(text: str) -> None:
    """A line of what a command is doing."""
    print(text, flush=True)
