"""A training step as a CUDA graph: `Graph(step, feed, device)`; `with graph.epoch(rows):` then `run(step)` for each.

A small network's step is hundreds of kernel launches, each of which takes the host longer than the GPU. A graph replays
all of them, from picking the batch to the optimizer, as one. A counter on the device, `clock`, says which batch and
which row of coefficients a replay takes. An epoch's last step, where it has fewer examples, is a graph of its own.
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

from runner.system.shortage import is_shortage
from runner.training.cuda import give_up, stream
from runner.training.feed import Batch, Feed
from runner.training.step import Step

WARM = 3  # plain steps with a full batch before one is recorded


@dataclass
class Recorded:
    """Steps of one shape, and the graph of one of them."""

    batch: Callable[[], Batch]  # makes the batch of the step that the clock says
    warm: int  # plain steps still to take before one is recorded: in them libraries choose their kernels
    graph: torch.cuda.CUDAGraph | None = None


class Graph:
    """The steps of a stack on a CUDA device. `table`: float32 [steps, 2, COLUMNS, R], the coefficients of an epoch.

    `step`: one step of the stack; `feed`: its batches; `device`: of both.
    """

    refused: ClassVar[bool] = False  # whether a capture has failed in this process, which then tries none again

    def __init__(self, step: Step, feed: Feed, device: torch.device) -> None:
        self.step, self.feed, self.device = step, feed, device
        self.launch = step.optimizer.launch
        self.clock = clock = torch.full((1,), -1, dtype=torch.int32, device=device)
        self.table = torch.empty(0, device=device)  # the coefficients of an epoch, once there is one
        # These closures must not refer to `self`: in a cycle the graph and its memory would outlive the stack.
        self.full = Recorded(lambda: feed.at(clock), WARM)
        # Warm up once only: the short last batch comes once an epoch.
        self.rest = Recorded(lambda: feed.apart(feed.full), 1)
        self.pool: Any = None  # memory of both graphs, which may share it: no tensor in it is used after a replay
        self.stream = stream(device)  # plain steps run on the stream that is recorded, so that both use its workspaces

    @contextmanager
    def epoch(self, rows: Tensor, first: int = 0) -> Iterator[None]:
        """Around the steps of an epoch from step `first` on, and what is done between them.

        `rows`: the coefficients of all steps of the epoch. All is queued on the graphs' own stream. That waits once for
        what was queued before, and is waited for once: a wait at each step would cost the host as much as a replay.
        """
        if not len(self.table):
            self.table = rows.clone()  # the table must keep its address, which the graph reads
        else:
            self.table.copy_(rows, non_blocking=True)
        self.clock.fill_(first - 1)  # a step begins by counting it up
        outer = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(outer)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            outer.wait_stream(self.stream)

    def run(self, step: int) -> None:
        """Take step `step` of the epoch (from 0), within `epoch`; the steps must be run in order."""
        # Plain steps come first, then the capture, which takes no step, and from then on replays.
        kind = self.full if step < self.feed.full else self.rest
        if kind.graph is None and not kind.warm and not Graph.refused:
            self._record(kind)
        if kind.graph is None:
            self._one(kind)
            kind.warm = max(0, kind.warm - 1)
        else:
            kind.graph.replay()

    def _one(self, kind: Recorded) -> None:
        """A step, taken or, under capture, recorded."""
        self.clock += 1
        self.step(kind.batch(), self.table, self.clock)

    def _record(self, kind: Recorded) -> None:
        """Capture a step into a graph; where that fails for good, go on without graphs, with a warning."""
        scale = self.step.scale
        # Nothing can be compiled under capture.
        self.launch.prepare(self.table, self.step.live, None if scale is None else scale.value, self.clock)
        graph = torch.cuda.CUDAGraph()
        pool = self.pool or torch.cuda.graph_pool_handle()
        gc.collect()  # an older graph that is destroyed during a capture may end the capture
        begun = False
        try:
            with self.launch.capture(), torch.cuda.graph(graph, pool=pool, stream=self.stream):
                begun = True
                self._one(kind)
        except RuntimeError as error:
            # The other graph shares the pool, and how much of it a failed capture releases depends on torch's version:
            # so both graphs begin anew.
            self.full.graph = self.rest.graph = self.pool = None
            self.launch.release()
            if begun:  # a capture that never began has nothing to give up
                give_up(graph, pool, self.device)
            if is_shortage(error):  # CUDA's libraries say so in errors that torch passes on as they are
                raise torch.OutOfMemoryError(str(error)) from error  # for a smaller stack
            # Some operator of the network waits for the device, which cannot be recorded.
            Graph.refused = True
            warnings.warn(f"this step cannot be a CUDA graph and runs without ({error})", stacklevel=2)
        else:
            kind.graph, self.pool = graph, pool
