"""A training step as a CUDA graph: `Graph(step, feed, device)`; then `run(...)` for each full batch of an epoch.

A small network's step is hundreds of launches, each of which takes the host longer than the GPU. A graph replays all
of them, from picking the batch to the optimizer, as one. Batch and coefficients are found by a counter on the device.
"""

from __future__ import annotations

import gc
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from runner.training.cuda import give_up, stream
from runner.training.feed import Feed
from runner.training.step import Step

WARM = 3  # plain steps, in which libraries choose their kernels, before one is recorded


class Graph:
    """The full batches of a stack on a CUDA device. `table`: float32 [steps, 2, COLUMNS, R], rows of an epoch."""

    refused: ClassVar[bool] = False  # a capture has failed in this process, which tries none again

    def __init__(self, step: Step, feed: Feed, device: torch.device) -> None:
        self.step, self.feed, self.device = step, feed, device
        self.launch = step.optimizer.launch
        self.clock = torch.full((1,), -1, dtype=torch.int32, device=device)
        self.table: Tensor | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.done = 0
        self.stream = stream(device)  # steps are recorded where they were first run

    def begin(self, rows: Tensor, first: int = 0) -> None:
        """A new epoch with these rows, from step `first` on."""
        if self.table is None:
            self.table = rows.clone()
        else:
            self.table.copy_(rows, non_blocking=True)
        self.clock.fill_(first - 1)

    def run(self) -> None:
        """The next step of the epoch, one with a full batch."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            if self.graph is None and self.done == WARM and not Graph.refused:
                self._record()
            if self.graph is None:
                self._one()
            else:
                self.graph.replay()
            self.done += 1
        here.wait_stream(self.stream)

    def _one(self) -> None:
        assert self.table is not None
        self.clock += 1
        self.step(self.feed.at(self.clock), self.table, self.clock)

    def _record(self) -> None:
        assert self.table is not None
        scale = self.step.scale
        self.launch.prepare(self.table, self.step.live, None if scale is None else scale.value, self.clock)
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        gc.collect()  # an older graph that is destroyed during a capture may end it
        try:
            with self.launch.capture(), torch.cuda.graph(graph, pool=pool, stream=self.stream):
                self._one()
        except RuntimeError as error:
            give_up(graph, pool, self.device)
            if isinstance(error, torch.OutOfMemoryError):  # for a smaller stack
                raise
            # An operator that waits for the device, in a network that is new here.
            Graph.refused = True
            warnings.warn(f"this step cannot be a CUDA graph and runs without ({error})", stacklevel=2)
        else:
            self.graph = graph
