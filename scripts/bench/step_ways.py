"""What `python scripts/bench step` compares: `sets(device_type)`, and `contestants(shapes, trials, memory, cold)`.

A set is the tensors of a network, with how many networks of it are stepped.

A way in a CUDA graph records many steps in one graph, so that what a launch of the graph costs is shared out: in
training the step is one part of a graph that holds forward and backward as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import optim
from optim.release import released_rows
from optim.rules import Rule
from optim.stacked import Stacked, table
from runner.models.resnet import ResNet
from runner.models.settings import ResNetSettings, ShakeShakeSettings
from runner.models.shakeshake import ShakeShake
from scripts.bench.devices import Memory

Shapes = list[tuple[int, ...]]
STEPS = 20  # in a graph
BYTES = {"torch foreach": 80}  # moved per parameter, from the passes over memory; of all others:
FUSED = 28  # reads weight, gradient and two moments, writes all but the gradient


def resnet20(width: int) -> Shapes:
    """Of the runner: 0.07M parameters at width 8, 0.27M at width 16, as for CIFAR-10."""
    with torch.device("meta"):
        return [tuple(p.shape[1:]) for p in ResNet(ResNetSettings("resnet", 20, width), 1, 3, 10).parameters()]


def resnet18() -> Shapes:
    """torchvision's, for 1000 classes."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width in (64, 128, 256, 512):
        for inputs in (before, width):
            shapes += [(width, inputs, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            shapes += [(width, inputs, 1, 1), (width,), (width,)] if inputs != width else []
        before = width
    return [*shapes, (1000, 512), (1000,)]


def shakeshake() -> Shapes:
    """The paper's 26 2x64d."""
    with torch.device("meta"):
        return [tuple(p.shape[1:]) for p in ShakeShake(ShakeShakeSettings("shakeshake"), 1, 3, 10).parameters()]


def gpt2(width: int = 768) -> Shapes:
    norm = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    mlp = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    return [(50257, width), (1024, width), *(norm + attention + norm + mlp) * 12, *norm]


def sets(device_type: str) -> dict[str, tuple[Callable[[], Shapes], int]]:
    """Name: (tensors of one network, how many networks). `device_type` "cuda" gets networks worth a GPU, and GPT-2."""
    tiny, small = partial(resnet20, 8), partial(resnet20, 16)
    large = {"resnet18": (resnet18, 1), "shakeshake": (shakeshake, 1)}
    if device_type != "cuda":
        return {"tiny": (tiny, 1), **large, "stack16": (tiny, 16), "stack64": (tiny, 64)}
    stacks = {"stack16": (tiny, 16), "stack64": (small, 64)}
    return {"tiny": (tiny, 1), "small": (small, 1), **large, "gpt2": (gpt2, 1), **stacks}


@dataclass(frozen=True)
class Way:
    """`run` takes `steps` steps; `idle`, if given, does what else `run` does; `held` is what only a graph refers to."""

    run: Callable[[], object]
    steps: int = 1
    idle: Callable[[], object] | None = None
    held: tuple[Any, ...] = ()


def contestants(shapes: Shapes, trials: int, memory: Memory, cold: bool) -> dict[str, Way]:
    """The ways to step tensors of these `shapes`, by name.

    `trials`: how many networks; `memory`: of the device that steps; `cold`: empty the caches before each step in a
    graph.
    """
    device = memory.device

    def torchs(**how: Any) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(p, 1e-3, weight_decay=1e-2, **how) for p in networks(shapes, trials, device)]

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


def all_of(optimizers: list[torch.optim.Optimizer]) -> Callable[[], object]:
    """A step of each, one after another."""
    return lambda: [optimizer.step() for optimizer in optimizers]


def networks(shapes: Shapes, trials: int, device: torch.device) -> list[list[torch.Tensor]]:
    """Parameters of these `shapes` of `trials` separate networks on `device`, with gradients."""
    made = [[torch.randn(s, device=device).mul_(0.1).requires_grad_() for s in shapes] for _ in range(trials)]
    for p in (p for network in made for p in network):
        p.grad = torch.randn_like(p) * 1e-2
    return made


def stack(shapes: Shapes, trials: int, device: torch.device) -> tuple[list[torch.Tensor], list[int]]:
    """Parameters [trials, ...] of a stack, with gradients, or of one network; and their kinds of row."""
    lead = (trials,) if trials > 1 else ()
    return networks([lead + s for s in shapes], 1, device)[0], [0 if len(s) > 1 else 1 for s in shapes]


def rows_of(trials: int, steps: int) -> torch.Tensor:
    """Rows [steps, 2, COLUMNS, trials]: every trial has its own rate and decay, and every other one is Adam."""
    rules = [Rule("adam" if i % 2 else "adamw", 1e-3 * (1 + i), 1e-2 / (1 + i)) for i in range(trials)]
    return torch.from_numpy(released_rows(table(rules, np.ones(steps)).numpy())[0])


def stacked(shapes: Shapes, trials: int, device: torch.device) -> Callable[[], object]:
    """A step of `optim.stacked.Stacked` of a stack of `trials` networks."""
    parameters, kinds = stack(shapes, trials, device)
    steps, count = 1000, 0
    rows = rows_of(trials, steps)
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
    from optim.cuda.launch import Launch  # not at the top, for it asks for Triton

    parameters, kinds = stack(shapes, trials, device)
    gradients = [p.grad for p in parameters]
    parameters = [p.detach() for p in parameters]
    moments = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
    launch = Launch(parameters, moments[0], moments[1], kinds, trials, "adam")
    rows = rows_of(trials, STEPS).float().to(device)
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
    step = all_of(optimizers)
    # It warns that a capturable optimizer steps outside of a graph, which allocates its state.
    with warnings.catch_warnings(action="ignore"):
        step()
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
