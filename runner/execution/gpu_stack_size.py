"""How many trials share a stack on a GPU, and how they are computed: `measure_stack_sizes(...)`.

Where throughput stops growing depends on the GPU, the network, and how well libraries do many small convolutions as
one. `runner.trials.stack_size` has a first guess; from there this doubles or halves the stack while that shortens a
trial's training, and tries a single trial, whose convolutions are ordinary ones. A network with convolutions is tried
in lanes too (`runner.models.lanes`). Not on the CPU: there a size must not depend on a clock, for the same command
gives the same stacks.
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
from optim.rules import ALONE
from runner.config.settings import COMPUTE, FULL, LANES, RunSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.models.settings import TransformerSettings
from runner.trials.plan import stack_size
from runner.trials.trial import StackKey, Trial

if TYPE_CHECKING:
    import torch

STEPS = 50_000  # of all trials together: fewer take a minute at most, or a network that leaves little to choose
WORTH = 60.0  # seconds of training for which sizes are compared: to try one takes about five
BETTER = 0.95  # of the time before: less than that is no reason for another size


@dataclass(frozen=True)
class Size:
    """`trials` in a stack, and the `seconds` that each then takes; `tried`: the seconds of all sizes tried."""

    trials: int
    seconds: float
    tried: Mapping[int, float]
    way: str = FULL

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
        trials: that are to be trained.
        datasets: theirs, by their settings.
        device: a GPU's name.
        processes: that share the trials.
        run: how they are evaluated, and which way of computing is asked for ("auto": both may be tried).
        deadline: time.time() by which training ends, if it must.
    """
    groups: dict[StackKey, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.stack_key].append(trial)
    sizes: dict[StackKey, Size] = {}
    for key, group in groups.items():
        first, most = group[0], ceil_div(len(group), processes)
        if first.optimizer.name in ALONE or most == 1 or len(group) * first.epochs * first.per_epoch < STEPS:
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
    except Exception:  # no memory, or a size that some library does not serve; whatever else training will say
        return math.inf
    finally:
        Graph.refused = refused  # a size too large says nothing about the others
        gc.collect()


def ways_of(trial: Trial) -> list[str]:
    """The ways worth a try: a Transformer's products of matrices are as fast in a stack as alone."""
    return [FULL] if isinstance(trial.model, TransformerSettings) else [FULL, LANES]


def measure_in_subprocess(*arguments: Any) -> dict[StackKey, Size]:
    """`measure_stack_sizes` in a process of its own, so that this one holds no memory of the GPU."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measure_stack_sizes, *arguments).result()
    except Exception:  # the first guess will do
        return {}


def search_size(seconds: Callable[[int], float], first: int, most: int, worth: Callable[[float], bool]) -> Size:
    """The size of a stack, from `first` on and at most `most`, that takes least for each trial.

    `seconds(n)`: what n trials take together, infinite where they have no room. `worth(s)`: whether other sizes should
    be tried where a trial takes s.
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
        if size == begun:
            while 2 * size <= most and each(2 * size) < BETTER * each(size):
                size *= 2
        if size <= begun:
            while size > 1 and each(size // 2) < BETTER * each(size):
                size //= 2
        if each(1) < BETTER * each(size):
            size = 1
    return Size(size, each(size), tried)
