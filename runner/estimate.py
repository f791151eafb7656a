"""What a sweep will take, before it starts: `estimate(plan, datasets, devices, ...)`, for `dry_run=true`.

Operations are counted on tensors without memory, memory as `runner.training.memory` predicts it, and time by running a
few steps of the largest stack of each shape, whose results are thrown away.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.models.build import build
from runner.plan import Plan
from runner.training.evaluate import losses
from runner.training.heap import keep_freed_memory
from runner.training.memory import predicted, room
from runner.training.stack import Stack
from runner.trials import Trial

STEPS, SECONDS = 20, 2.0  # at most so many steps are timed, for about so long


@dataclass(frozen=True)
class Estimate:
    """`flops`: of training, forward and backward; `seconds`: with all processes at work; `bytes`: of the largest stack,
    or None for what has no room, with `short` saying why."""

    flops: float
    seconds: float | None
    bytes: int
    short: str = ""

    def text(self) -> str:
        """For people."""
        took = "" if self.seconds is None else f", about {_duration(self.seconds)} of training (start-up not counted)"
        memory = f"{self.bytes / 2**30:.2g} GiB of memory for a stack beside what its process has"
        line = f"{_scaled(self.flops)}training FLOPs{took}, {memory}"
        return f"{line}\nno room for a trial: {self.short}" if self.short else line


def estimate(
    plan: Plan, datasets: Mapping[DatasetSettings, Dataset], device: str, processes: int, final: float
) -> Estimate:
    """Of all stacks of the plan, and `final` times as many trials of fresh seeds."""
    shapes: dict[tuple[object, ...], Plan] = {}
    for stack in plan:
        shapes.setdefault(stack[0].shape, []).append(stack)
    where = torch.device(device)
    flops, seconds, most, short = 0.0, 0.0, 0, ""
    if where.type == "cpu":
        torch.set_num_threads(1)
        keep_freed_memory()
    for stacks in shapes.values():
        largest = max(stacks, key=len)
        first, dataset = largest[0], datasets[largest[0].dataset]
        trials = sum(map(len, stacks))
        flops += trials * first.epochs * first.per_epoch * step_flops(first, dataset)
        most = max(most, predicted(largest, dataset, where))
        if short := room(largest[:1], dataset, where, 1):
            continue
        # Stacks of one shape take turns in the processes; a smaller one takes less than its share.
        rounds = -(-len(stacks) // processes)
        seconds += rounds * first.epochs * epoch_seconds(largest, dataset, where)
    return Estimate(flops * (1 + final), None if short else seconds * (1 + final), most, short)


def step_flops(trial: Trial, dataset: Dataset) -> float:
    """Multiplications and additions of one trial's forward and backward pass over a batch."""
    with FakeTensorMode(), torch.device("cpu"):
        model = build(trial.model, dataset, 1)
        batch = min(trial.batch_size, len(dataset.train))
        shape = dataset.train.x.shape[1:]
        if dataset.kind == "images":
            x = torch.empty(1, batch, shape[2], *shape[:2])
        else:
            x = torch.zeros(1, batch, *shape, dtype=torch.int64)
        y = torch.zeros(1, batch, *dataset.train.y.shape[1:], dtype=torch.int64)
        noise = torch.empty(1, batch, model.noise_width) if model.noise_width else None
        with FlopCounterMode(display=False) as counter:
            losses(model(x, noise), y).sum().backward()
        return float(counter.get_total_flops())


def epoch_seconds(stack: Sequence[Trial], dataset: Dataset, device: torch.device) -> float:
    """Seconds of an epoch of training with one evaluation, from a few steps."""
    running = Stack(stack, dataset, device)
    per_epoch = running.per_epoch
    took: list[float] = []
    began = time.perf_counter()
    running.per_epoch = 1
    while len(took) < 2 or (len(took) < STEPS and time.perf_counter() - began < SECONDS):
        clock = time.perf_counter()
        running.run_epoch(0)
        took.append(time.perf_counter() - clock)
    step = statistics.median(took[1:])
    evaluated = len(dataset.val) or len(dataset.test)
    # A forward pass is a third of a step.
    return step * (per_epoch + evaluated / stack[0].batch_size / 3)


def seconds_per_trial(stack: Sequence[Trial], dataset: Dataset, device: str, processes: int) -> float:
    """About how long `stack` takes, for each of its trials; 0 where it cannot be tried, which training it will say.

    `processes`: that share the device's memory.
    """
    where = torch.device(device)
    if where.type == "cpu":
        keep_freed_memory()  # as in training
    try:
        if room(stack, dataset, where, processes):
            return 0.0
        return stack[0].epochs * epoch_seconds(stack, dataset, where) / len(stack)
    except Exception:  # it must not stop the other stacks
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
