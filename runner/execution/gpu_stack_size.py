"""How many trials share a stack on a GPU, and how they are computed: `measured(trials, datasets, device, ...)`.

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
from typing import Any

from runner.config.settings import COMPUTE, FULL, LANES
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.models.settings import TransformerSettings
from runner.training.options import Options
from runner.trials.plan import stack_size
from runner.trials.trial import Shape, Trial

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


def measured(
    trials: Iterable[Trial],
    datasets: Mapping[DatasetSettings, Dataset],
    device: str,
    processes: int,
    options: Options,
    deadline: float | None = None,
    compute: str = "auto",
) -> dict[Shape, Size]:
    """The best size and way for every shape of which there is enough to train; `processes` share its trials.

    `compute`: a key of `runner.config.settings.COMPUTE`, "auto" where both ways may be tried.
    """
    import torch

    from runner.execution.estimate import stack_seconds
    from runner.training.cuda import ready
    from runner.training.graph import Graph
    from runner.training.memory import room

    where, refused = torch.device(device), Graph.refused
    groups: dict[Shape, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    found: dict[Shape, Size] = {}
    for shape, group in groups.items():
        first, most = group[0], -(-len(group) // processes)
        if not first.stackable or most == 1 or len(group) * first.epochs * first.per_epoch < STEPS:
            continue
        dataset = datasets[first.dataset]

        def seconds(count: int, way: str, group: Sequence[Trial] = group, dataset: Dataset = dataset) -> float:
            stack = [trial.computed(way) for trial in group[:count]]
            try:
                if room(stack, dataset, where, 1):
                    return math.inf
                return stack_seconds(stack, dataset, where, options)
            except Exception:  # no memory, or a size that some library does not serve; whatever else training will say
                return math.inf
            finally:
                Graph.refused = refused  # a size too large says nothing about the others
                gc.collect()

        def worth(each: float, most: int = most) -> bool:
            left = math.inf if deadline is None else deadline - time.time()
            return min(each * most, left) > WORTH

        ways = [COMPUTE[compute]] if COMPUTE[compute] else ways_of(first)
        sizes = [
            replace(best(partial(seconds, way=way), stack_size(first, device, 0), most, worth), way=way) for way in ways
        ]
        size = min(sizes, key=lambda tried: tried.seconds)
        if math.isfinite(size.seconds):
            found[shape] = size
        with suppress(Exception):
            ready(where)  # which gives back the memory
    return found


def ways_of(trial: Trial) -> list[str]:
    """The ways worth a try: a Transformer's products of matrices are as fast in a stack as alone."""
    return [FULL] if isinstance(trial.model, TransformerSettings) else [FULL, LANES]


def elsewhere(*given: Any) -> dict[Shape, Size]:
    """`measured` in a process of its own: this one, beside which others will train, is to hold nothing of a GPU."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measured, *given).result()
    except Exception:  # the first guess will do
        return {}


def best(seconds: Callable[[int], float], first: int, most: int, worth: Callable[[float], bool]) -> Size:
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
