"""A training step as a CUDA graph: `Graph(step, feed, device)`; `with graph.epoch(rows):` then `run(step)` for each.

A small network's step is hundreds of launches, each of which takes the host longer than the GPU. A graph replays all
of them, from picking the batch to the optimizer, as one. Batch and coefficients are found by a counter on the device.
An epoch's last step, where it has fewer examples, is a graph of its own.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from runner.training.cuda import give_up, stream
from runner.training.feed import Batch, Feed
from runner.training.step import Step

WARM = 3  # plain steps with a full batch before one is recorded
NO_MEMORY = ("out of memory", "ALLOC_FAILED")  # in the words of CUDA's libraries, which torch has no own error for


@dataclass
class Recorded:
    """Steps of one shape: `warm` plain ones, in which libraries choose their kernels, before one is recorded."""

    batch: Callable[[], Batch]
    warm: int
    graph: torch.cuda.CUDAGraph | None = None


class Graph:
    """The steps of a stack on a CUDA device. `table`: float32 [steps, 2, COLUMNS, R], rows of an epoch."""

    refused: ClassVar[bool] = False  # a capture has failed in this process, which tries none again

    def __init__(self, step: Step, feed: Feed, device: torch.device) -> None:
        self.step, self.feed, self.device = step, feed, device
        self.launch = step.optimizer.launch
        self.clock = clock = torch.full((1,), -1, dtype=torch.int32, device=device)
        self.table: Tensor | None = None
        # Nothing here refers back to the graph: it and all it holds must go when the stack does.
        self.full = Recorded(lambda: feed.at(clock), WARM)
        self.rest = Recorded(lambda: feed.apart(feed.full), 1)  # more would be an epoch each
        self.pool: Any = None  # of both graphs: nothing in it outlives a replay
        self.stream = stream(device)  # steps are recorded where they were first run

    @contextmanager
    def epoch(self, rows: Tensor, first: int = 0) -> Iterator[None]:
        """Around the steps of an epoch with these rows, from step `first` on, and what is done between them.

        All of it is queued on the stream of the graphs, which waits once for what was queued before, and is waited for
        once: a wait at each step would cost the host as much as a replay does.
        """
        if self.table is None:
            self.table = rows.clone()
        else:
            self.table.copy_(rows, non_blocking=True)
        self.clock.fill_(first - 1)
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            here.wait_stream(self.stream)

    def run(self, step: int) -> None:
        """Step `step` of the epoch (from 0), within `epoch`; they are run in order."""
        kind = self.full if step < self.feed.full else self.rest
        if kind.graph is None and not kind.warm and not Graph.refused:
            self._record(kind)
        if kind.graph is None:
            self._one(kind)
            kind.warm = max(0, kind.warm - 1)
        else:
            kind.graph.replay()

    def _one(self, kind: Recorded) -> None:
        assert self.table is not None
        self.clock += 1
        self.step(kind.batch(), self.table, self.clock)

    def _record(self, kind: Recorded) -> None:
        assert self.table is not None
        scale = self.step.scale
        self.launch.prepare(self.table, self.step.live, None if scale is None else scale.value, self.clock)
        graph = torch.cuda.CUDAGraph()
        pool = self.pool or torch.cuda.graph_pool_handle()
        gc.collect()  # an older graph that is destroyed during a capture may end it
        begun = False
        try:
            with self.launch.capture(), torch.cuda.graph(graph, pool=pool, stream=self.stream):
                begun = True
                self._one(kind)
        except RuntimeError as error:
            # The other graph shares the pool, and what a failed capture releases of it depends on torch's version.
            self.full.graph = self.rest.graph = self.pool = None
            self.launch.release()
            if begun:
                give_up(graph, pool, self.device)
            if any(words in str(error) for words in NO_MEMORY):
                raise torch.OutOfMemoryError(str(error)) from error  # for a smaller stack
            # An operator that waits for the device, in a network that is new here.
            Graph.refused = True
            warnings.warn(f"this step cannot be a CUDA graph and runs without ({error})", stacklevel=2)
        else:
            kind.graph, self.pool = graph, pool
