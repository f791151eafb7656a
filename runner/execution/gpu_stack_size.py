"""How many trials share a stack on a GPU, and how they are computed: `measure_stack_sizes(trials, datasets, ...)`.

Where throughput stops growing depends on the GPU, the network, and how well libraries compute many small convolutions
as one. `runner.trials.stack_size` makes a first guess. From that size on, stacks are timed and doubled or halved as
long as that shortens a trial's training; a single trial, whose convolutions are ordinary ones, is timed as well. A
network with convolutions is also timed in lanes (`runner.models.lanes`). None of this is done on a CPU, where the same
command must give the same stacks, whatever the clock says.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from runner.config.settings import COMPUTE, FULL, LANES
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.models.settings import TransformerSettings
from runner.training.options import Options
from runner.trials.plan import stack_size
from runner.trials.trial import Shape, Trial

STEPS = 50_000  # of all trials together: with fewer, training takes a minute at most, and measuring does not pay
WORTH = 60.0  # seconds of training from which on it pays to compare sizes: trying one takes about five
BETTER = 0.95  # another size must take less than this part of the time


@dataclass(frozen=True)
class Size:
    """A size of stacks, and what was measured to choose it."""

    trials: int  # in a stack
    seconds: float  # that each of them then takes
    tried: Mapping[int, float]  # the seconds of a trial, by each size that was timed
    way: str = FULL  # how the stack is computed, `runner.config.settings.COMPUTE`

    def text(self) -> str:
        """For people."""
        others = ", ".join(f"{n}: {s:.3g} s" for n, s in sorted(self.tried.items()))
        how = " in lanes" if self.way == LANES else ""
        return f"stacks of {self.trials}{how} (seconds of a trial, by the size of its stack: {others})"


def measure_stack_sizes(
    trials: Iterable[Trial],
    datasets: Mapping[DatasetSettings, Dataset],
    device: str,
    processes: int,
    options: Options,
    deadline: float | None = None,
    compute: str = "auto",
) -> dict[Shape, Size]:
    """The best size and way for every stack key of which there is enough to train.

    Args:
        trials: all that are to be trained.
        datasets: by their settings.
        device: a CUDA device.
        processes: how many share the trials of a key, so that none gets more of them in one stack than its share.
        options: how often to evaluate.
        deadline: the time, as `time.time()` counts, at which training ends; None: none.
        compute: a key of `runner.config.settings.COMPUTE`; with "auto" both ways may be tried.
    """
    import torch

    from runner.execution.estimate import stack_seconds
    from runner.training.cuda import ready
    from runner.training.graph import Graph
    from runner.training.memory import room

    torch_device, refused = torch.device(device), Graph.refused
    groups: dict[Shape, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    sizes: dict[Shape, Size] = {}
    for shape, group in groups.items():
        first, most = group[0], -(-len(group) // processes)
        if not first.stackable or most == 1 or len(group) * first.epochs * first.per_epoch < STEPS:
            continue
        dataset = datasets[first.dataset]

        def seconds(count: int, way: str, group: Sequence[Trial] = group, dataset: Dataset = dataset) -> float:
            stack = [trial.computed(way) for trial in group[:count]]
            try:
                if room(stack, dataset, torch_device, 1):
                    return math.inf
                return stack_seconds(stack, dataset, torch_device, options)
            except Exception:  # no memory, or a size that some library refuses; training will report anything else
                return math.inf
            finally:
                # A size that cannot be recorded, for it is too large, says nothing about the others.
                Graph.refused = refused
                gc.collect()

        def worth(each: float, most: int = most) -> bool:
            left = math.inf if deadline is None else deadline - time.time()
            return min(each * most, left) > WORTH

        ways = [COMPUTE[compute]] if COMPUTE[compute] else ways_of(first)
        first_size = stack_size(first, device, 0)
        best = [replace(search_size(partial(seconds, way=way), first_size, most, worth), way=way) for way in ways]
        size = min(best, key=lambda tried: tried.seconds)
        if math.isfinite(size.seconds):
            sizes[shape] = size
        with suppress(Exception):
            ready(torch_device)  # gives the memory of the last stack back
    return sizes


def ways_of(trial: Trial) -> list[str]:
    """The ways worth a try: a Transformer's matrix products are as fast in a stack as alone."""
    return [FULL] if isinstance(trial.model, TransformerSettings) else [FULL, LANES]


def measure_in_subprocess(*given: Any) -> dict[Shape, Size]:
    """`measure_stack_sizes` in a process of its own, so that this one holds no GPU memory while others train."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measure_stack_sizes, *given).result()
    except Exception:  # whatever went wrong, the sizes that are guessed without a measurement will do
        return {}


def search_size(seconds: Callable[[int], float], first: int, most: int, worth: Callable[[float], bool]) -> Size:
    """The size of a stack that takes least time for each trial.

    Args:
        seconds: what so many trials take together; infinite where they have no room.
        first: the size to begin with.
        most: the largest size.
        worth: whether other sizes should be tried where a trial takes so many seconds.
    """
    tried: dict[int, float] = {}

    def each(count: int) -> float:
        if count not in tried:
            tried[count] = seconds(count) / count
        return tried[count]

    size = begun = min(first, most)
    while size > 1 and not math.isfinite(each(size)):
        size //= 2
    if worth(each(size)):
        if size == begun:  # or else a larger size has no room
            while 2 * size <= most and each(2 * size) < BETTER * each(size):
                size *= 2
        if size <= begun:  # or else a smaller size is slower, as the first one was
            while size > 1 and each(size // 2) < BETTER * each(size):
                size //= 2
        if each(1) < BETTER * each(size):
            size = 1
    return Size(size, each(size), tried)
