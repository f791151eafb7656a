"""What a sweep will take, before it starts: `estimate(plan, datasets, device, ...)`, for `dry_run=true`.

Operations are counted on torch's fake tensors, which have no memory. Memory is what `runner.training.memory` predicts.
Time is measured: a few steps of the largest stack of each stack key are taken, and their results thrown away.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from optim.arithmetic import ceil_div
from runner.config.settings import RunSettings
from runner.data.dataset import Dataset, Split
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.models.build import build
from runner.models.module import UserModule
from runner.models.module_lanes import lanes
from runner.models.settings import ModuleSettings
from runner.system.memory import keep_freed_memory
from runner.training.evaluate import losses
from runner.training.memory import predicted, room
from runner.training.stack import Stack
from runner.trials.plan import Plan
from runner.trials.stack_size import evaluation_batch
from runner.trials.trial import Trial

TIMES, SECONDS = 20, 1.0  # steps and evaluations are each timed at most so often, and for about so long
SEVERAL = 30  # a GPU's steps are short, so that many are timed together


@dataclass(frozen=True)
class Estimate:
    """What a plan will take."""

    flops: float  # of training, forward and backward
    seconds: float | None  # with all processes at work; None where a stack has no room even for one trial
    bytes: int  # of the largest stack
    short: str = ""  # why there is no room

    def text(self) -> str:
        """For people."""
        took = "" if self.seconds is None else f", about {_duration(self.seconds)} of training (start-up not counted)"
        memory = f"{self.bytes / 2**30:.2g} GiB of memory for a stack beside what its process has"
        counted = f"{_scaled(self.flops)}training FLOPs" if self.flops == self.flops else "training FLOPs: not known"
        line = f"{counted}{took}, {memory}"
        return f"{line}\nno room for a trial: {self.short}" if self.short else line


def estimate(
    plan: Plan,
    datasets: Mapping[DatasetSettings, Dataset],
    device: str,
    processes: int,
    final: float,
    run: RunSettings,
) -> Estimate:
    """What the stacks of a plan will take.

    Args:
        plan: the stacks.
        datasets: by their settings.
        device: "cpu", or a CUDA device that stands for all.
        processes: how many share the stacks.
        final: how many trials of fresh seeds follow, as a multiple of the plan's.
        run: how often to evaluate.
    """
    shapes: dict[tuple[object, ...], Plan] = {}
    for stack in plan:
        shapes.setdefault(_shape(stack[0]), []).append(stack)
    torch_device = torch.device(device)
    flops, seconds, most, short = 0.0, 0.0, 0, ""
    if torch_device.type == "cpu":  # as a worker process does
        torch.set_num_threads(1)
        keep_freed_memory()
    for stacks in shapes.values():
        largest = max(stacks, key=len)
        first, dataset = largest[0], datasets[largest[0].dataset]
        trials = sum(map(len, stacks))
        flops += trials * first.epochs * first.per_epoch * _flops(first, dataset)
        most = max(most, predicted(largest, dataset, torch_device))
        if short := room(largest[:1], dataset, torch_device, 1):
            continue
        # The processes take the stacks of a key in rounds. A stack smaller than the largest takes less than this.
        rounds = ceil_div(len(stacks), processes)
        seconds += rounds * stack_seconds(largest, dataset, torch_device, run)
    return Estimate(flops * (1 + final), None if short else seconds * (1 + final), most, short)


def _shape(trial: Trial) -> tuple[object, ...]:
    """What decides what a step takes: the stack key, but for which examples a replicate has of those there are."""
    like = replace(trial.facts, hash="", source="")
    return replace(trial, dataset=replace(trial.dataset, split=0), facts=like).stack_key


def _flops(trial: Trial, dataset: Dataset) -> float:
    """`step_flops`; nan for somebody's module that does not work on tensors without memory."""
    try:
        return step_flops(trial, dataset)
    except UserError:
        raise
    except Exception:  # of other people's code
        if not isinstance(trial.model, ModuleSettings):
            raise
        return math.nan


def step_flops(trial: Trial, dataset: Dataset) -> float:
    """Multiplications and additions of one trial's forward and backward pass over a batch of `dataset`."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"):
        model = build(trial.model, dataset, 1)
        batch = min(trial.batch_size, len(dataset.train))
        tokens = dataset.kind == "tokens"
        x = torch.zeros(1, batch, *dataset.example, dtype=torch.int64 if tokens else torch.float32)
        y = torch.zeros(1, batch, *dataset.train.y.shape[1:], dtype=torch.int64)
        noise = torch.empty(1, batch, model.noise_width) if model.noise_width else None
        with FlopCounterMode(display=False) as counter:
            network = lanes(trial.model, dataset, model) if isinstance(model, UserModule) else model
            losses(network(x, noise), y).sum().backward()
        return float(counter.get_total_flops())


def stack_seconds(stack: Sequence[Trial], dataset: Dataset, device: torch.device, run: RunSettings) -> float:
    """Seconds that `stack` takes to train and evaluate, from a few steps and batches of evaluation.

    Args:
        stack: trials of one stack key.
        dataset: theirs.
        device: that trains.
        run: how often to evaluate, and on what.

    Whatever training would raise comes through, as where there is no memory.
    """
    first = stack[0]
    on_cpu = device.type == "cpu"
    chunk = evaluation_batch(first.model, first.batch_size, first.positions, 0 if on_cpu else len(stack), first.way)
    running = Stack(stack, _cut(dataset, chunk), device)
    # A GPU's step is recorded after some plain ones, which the first, untimed runs take.
    per_epoch, running.per_epoch = running.per_epoch, 1 if on_cpu else max(1, min(running.feed.full, SEVERAL))
    first_times = 1 if on_cpu else 2
    drawing = _median(lambda: running.feed.epoch(0), 1)  # every epoch begins by drawing its order and augmentation
    step = max(0.0, _median(lambda: running.run_epoch(0), first_times) - drawing) / running.per_epoch
    selecting = "val" if "val" in running.splits else "test"
    example = _median(lambda: running.scores(selecting), first_times) / len(running.splits[selecting].x)
    # The other splits are evaluated at the end, or with `eval_all` each time.
    some = len(dataset.val) or len(dataset.test)
    others = len(dataset.train) + len(dataset.val) + len(dataset.test) - some
    times = ceil_div(first.epochs, run.eval_every)
    examples = times * some + (times if run.eval_all else 1) * others
    return first.epochs * (per_epoch * step + drawing) + examples * example


def _cut(dataset: Dataset, count: int) -> Dataset:
    """The dataset with no more than `count` examples of validation and test, so that one evaluation is one batch."""
    val, test = (Split(split.x[:count], split.y[:count]) for split in (dataset.val, dataset.test))
    return replace(dataset, val=val, test=test)


def _median(work: Callable[[], object], first: int) -> float:
    """The median of the seconds that `work` takes, after `first` runs that do not count."""
    for _ in range(first):
        work()
    took: list[float] = []
    began = time.perf_counter()
    while not took or (len(took) < TIMES and time.perf_counter() - began < SECONDS):
        clock = time.perf_counter()
        work()
        took.append(time.perf_counter() - clock)
    return statistics.median(took)


def seconds_per_trial(stack: Sequence[Trial], dataset: Dataset, device: str, processes: int, run: RunSettings) -> float:
    """About how long `stack` takes, for each of its trials; 0 where it cannot be run, which training will report.

    `dataset`: of its trials; `device`: by its name; `processes`: how many share the device's memory; `run`: how often
    to evaluate.
    """
    torch_device = torch.device(device)
    if torch_device.type == "cpu":
        keep_freed_memory()  # as in training
    try:
        if room(stack, dataset, torch_device, processes):
            return 0.0
        return stack_seconds(stack, dataset, torch_device, run) / len(stack)
    except Exception:  # a stack that fails must not keep the others from being timed
        return 0.0


def _scaled(number: float) -> str:
    for name, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {name} "
    return f"{number:.3g} "


def _duration(seconds: float) -> str:
    for name, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
