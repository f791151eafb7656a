"""The ways that `scripts/bench_step.py` compares: `contestants(shapes, trials, memory, cold)` makes them all.

A way in a CUDA graph records many steps in one graph, so that what a launch of the graph costs is shared out: in
training the step is one part of a graph that holds forward and backward as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import optim
from optim.release import released_rows
from optim.rules import Rule, coefficients
from optim.stacked import Stacked

Shapes = list[tuple[int, ...]]
STEPS = 20  # in a graph
LARGE = 1 << 28  # bytes, several times what caches hold
BYTES = {"torch foreach": 80}  # moved per parameter, from the passes over memory; of all others:
FUSED = 28  # reads weight, gradient and two moments, writes all but the gradient


@dataclass(frozen=True)
class Way:
    """`run` takes `steps` steps; `idle`, if given, does what else `run` does; `held` is what only a graph refers to."""

    run: Callable[[], object]
    steps: int = 1
    idle: Callable[[], object] | None = None
    held: tuple[Any, ...] = ()


class Memory:
    """Two buffers that no cache holds: to copy, for the bandwidth of the machine, and to empty caches."""

    def __init__(self, device: torch.device) -> None:
        size = LARGE * (4 if device.type == "cuda" else 1)
        self.device, self.moved = device, 2 * size
        self.source = torch.randn(size // 4, device=device)
        self.target = torch.empty_like(self.source)
        self._some = self.target[: LARGE // 4]

    def copy(self) -> None:
        self.target.copy_(self.source)

    def evict(self) -> None:
        self._some.zero_()


def contestants(shapes: Shapes, trials: int, memory: Memory, cold: bool) -> dict[str, Way]:
    device = memory.device

    def torchs(**how: Any) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(p, 1e-3, weight_decay=1e-2, **how) for p in networks(shapes, trials, device)]

    def all_of(optimizers: list[torch.optim.Optimizer]) -> Callable[[], object]:
        return lambda: [optimizer.step() for optimizer in optimizers]

    ours = stacked(shapes, trials, device) if trials > 1 else optim.AdamW(networks(shapes, 1, device)[0]).step
    ways = {
        "optim": Way(ours),
        "torch fused": Way(all_of(torchs(fused=True))),
        "torch foreach": Way(all_of(torchs(foreach=True))),
    }
    if device.type == "cuda":
        evict = memory.evict if cold else None
        ways["optim graph"] = graphed(shapes, trials, device, evict)
        ways["torch fused graph"] = torch_graphed(torchs(fused=True, capturable=True), evict)
    return ways


def networks(shapes: Shapes, trials: int, device: torch.device) -> list[list[torch.Tensor]]:
    """Parameters of `trials` separate networks, with gradients."""
    made = [[torch.randn(s, device=device).mul_(0.1).requires_grad_() for s in shapes] for _ in range(trials)]
    for p in (p for network in made for p in network):
        p.grad = torch.randn_like(p) * 1e-2
    return made


def stack(shapes: Shapes, trials: int, device: torch.device) -> tuple[list[torch.Tensor], list[int]]:
    """Parameters [trials, ...] of a stack, with gradients, or of one network; and their rows in `table`."""
    lead = (trials,) if trials > 1 else ()
    return networks([lead + s for s in shapes], 1, device)[0], [0 if len(s) > 1 else 1 for s in shapes]


def table(trials: int, steps: int) -> torch.Tensor:
    """Rows [steps, 2, COLUMNS, trials]: every trial has its own rate and decay, and every other one is Adam."""
    rules = [Rule("adam" if i % 2 else "adamw", 1e-3 * (1 + i), 1e-2 / (1 + i)) for i in range(trials)]
    rows = [coefficients(rule, np.arange(steps) + 1, np.ones(steps), np.ones(steps)) for rule in rules]
    return torch.from_numpy(released_rows(np.stack(rows, -1))[0])


def stacked(shapes: Shapes, trials: int, device: torch.device) -> Callable[[], object]:
    parameters, kinds = stack(shapes, trials, device)
    steps, count = 1000, 0
    rows = table(trials, steps)
    rows = rows.float().to(device) if device.type == "cuda" else rows
    live = torch.ones(trials, dtype=torch.bool, device=device)
    stepped = Stacked(parameters, "adam", [kind == 0 for kind in kinds])

    def step() -> None:
        nonlocal count
        stepped.step(rows[count % steps], live)
        count += 1

    return step


def graphed(shapes: Shapes, trials: int, device: torch.device, evict: Callable[[], object] | None) -> Way:
    """`optim.cuda.launch` in a CUDA graph."""
    from optim.cuda.launch import Launch  # here, for it asks for Triton

    parameters, kinds = stack(shapes, trials, device)
    gradients = [p.grad for p in parameters]
    parameters = [p.detach() for p in parameters]
    moments = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
    launch = Launch(parameters, moments[0], moments[1], kinds, trials, "adam", "torch")
    rows = table(trials, STEPS).float().to(device)
    live = torch.ones(trials, dtype=torch.bool, device=device)
    clock = torch.full((trials,), -1, dtype=torch.int32, device=device)
    launch.prepare(rows, live, clock=clock)

    def step() -> None:
        clock.add_(1)
        launch.step(gradients, rows, live, clock=clock)

    # The clock begins anew in every replay: past the end of the table trials rest, in no time at all.
    return recorded(step, evict, launch.capture(STEPS), lambda: clock.fill_(-1), (launch, gradients, rows, live, clock))


def torch_graphed(optimizers: list[torch.optim.Optimizer], evict: Callable[[], object] | None) -> Way:
    """torch's step in a CUDA graph, one optimizer after another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a capturable optimizer steps outside of a graph: here it allocates
        for optimizer in optimizers:
            optimizer.step()

    def step() -> None:
        for optimizer in optimizers:
            optimizer.step()

    return recorded(step, evict, nullcontext(), lambda: None, (optimizers,))


def recorded(
    step: Callable[[], object],
    evict: Callable[[], object] | None,
    around: AbstractContextManager[None],
    first: Callable[[], object],
    held: tuple[Any, ...],
) -> Way:
    """A graph of `first` and STEPS steps, each after `evict` if given; that alone is then recorded as `idle`."""
    graph, idle = torch.cuda.CUDAGraph(), None
    with around, torch.cuda.graph(graph):
        first()
        for _ in range(STEPS):
            if evict:
                evict()
            step()
    if evict:
        idle = torch.cuda.CUDAGraph()
        with torch.cuda.graph(idle):
            for _ in range(STEPS):
                evict()
    return Way(graph.replay, STEPS, idle.replay if idle else None, held)
