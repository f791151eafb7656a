"""How many trials share a stack on a GPU, and how they are computed: `measure_stack_sizes(...)`.

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
from typing import TYPE_CHECKING, Any

from optim.arithmetic import ceil_div
from runner.config.settings import COMPUTE, FULL, LANES, RunSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.models.settings import TransformerSettings
from runner.trials.plan import stack_size
from runner.trials.trial import StackKey, Trial

if TYPE_CHECKING:
    import torch

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
    run: RunSettings,
    deadline: float | None = None,
) -> dict[StackKey, Size]:
    """The best size and way for every stack key of which there is enough to train.

    Args:
        trials: all that are to be trained.
        datasets: by their settings.
        device: a CUDA device.
        processes: how many share the trials of a key, so that none gets more of them in one stack than its share.
        run: how often to evaluate, and which way of computing is asked for; with "auto" both may be tried.
        deadline: the time, as `time.time()` counts, at which training ends; None: none.
    """
    groups: dict[StackKey, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.stack_key].append(trial)
    sizes: dict[StackKey, Size] = {}
    for key, group in groups.items():
        first, most = group[0], ceil_div(len(group), processes)
        if not first.stackable or most == 1 or len(group) * first.epochs * first.per_epoch < STEPS:
            continue
        size = _measure(group, datasets[first.dataset], device, most, run, deadline)
        if math.isfinite(size.seconds):
            sizes[key] = size
    return sizes


def _measure(
    group: Sequence[Trial], dataset: Dataset, device: str, most: int, run: RunSettings, deadline: float | None
) -> Size:
    """The best size and way of stacks of `group`, trials of one stack key, with at most `most` trials in each."""
    import torch

    from runner.training.cuda import ready

    where = torch.device(device)

    def worth(each: float) -> bool:
        left = math.inf if deadline is None else deadline - time.time()
        return min(each * most, left) > WORTH

    first, asked = group[0], COMPUTE[run.compute]
    sizes = []
    for way in [asked] if asked else ways_of(first):
        seconds = partial(_seconds, group, way, dataset, where, run)
        sizes.append(replace(search_size(seconds, stack_size(first, device, 0), most, worth), way=way))
    with suppress(Exception):
        ready(where)  # which gives back the memory
    return min(sizes, key=lambda size: size.seconds)


def _seconds(
    group: Sequence[Trial], way: str, dataset: Dataset, device: torch.device, run: RunSettings, count: int
) -> float:
    """Seconds that a stack of the first `count` trials takes, computed in this way; infinite where it cannot be."""
    from runner.execution.estimate import stack_seconds
    from runner.training.graph import Graph
    from runner.training.memory import room

    refused = Graph.refused
    stack = [trial.computed(way) for trial in group[:count]]
    try:
        return math.inf if room(stack, dataset, device, 1) else stack_seconds(stack, dataset, device, run)
    except Exception:  # no memory, or a size that some library refuses; training will report anything else
        return math.inf
    finally:
        # A size that cannot be recorded, for it is too large, says nothing about the others.
        Graph.refused = refused
        gc.collect()


def ways_of(trial: Trial) -> list[str]:
    """The ways worth a try: a Transformer's matrix products are as fast in a stack as alone."""
    return [FULL] if isinstance(trial.model, TransformerSettings) else [FULL, LANES]


def measure_in_subprocess(*arguments: Any) -> dict[StackKey, Size]:
    """`measure_stack_sizes` in a process of its own, so that this one holds no GPU memory while others train."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measure_stack_sizes, *arguments).result()
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
