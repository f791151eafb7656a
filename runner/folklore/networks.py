"""What an optimizer's step costs on the runner's own networks: `costs()` gives rows of checks.csv (claim 9)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import optim
from runner.folklore.problem import Row, row
from runner.models.resnet import ResNet
from runner.models.settings import ResNetSettings, TransformerSettings
from runner.models.transformer import Transformer
from runner.system.memory import peak_bytes

ROUNDS, STEPS = 7, 30


def networks() -> dict[str, Callable[[], torch.nn.Module]]:
    """The ResNet and the Transformer of the folklore studies, one trial each."""
    small = TransformerSettings("transformer", layers=1, dim=32, heads=4, patch=2)
    return {
        "resnet": lambda: ResNet(ResNetSettings("resnet"), 1, 1, 10),
        "transformer": lambda: Transformer(small, 1, (1, 8, 8), 10, 0, False),
    }


def costs() -> list[Row]:
    """For each network and optimizer: microseconds per step (the fastest of interleaved ones, which a busy machine
    disturbs least), bytes kept per parameter, and KiB that a training step holds at most beyond the weights."""
    rows: list[Row] = []
    for name, build in networks().items():
        models = {"adam": build(), "adamw": build()}
        made = {key: _ready(model, optim.Adam if key == "adam" else optim.AdamW) for key, model in models.items()}
        times: dict[str, list[float]] = {key: [] for key in made}
        for _ in range(ROUNDS):
            for key, (_, optimizer) in made.items():
                for _ in range(STEPS):
                    start = time.perf_counter()
                    optimizer.step()
                    times[key].append(time.perf_counter() - start)
        for key, (parameters, optimizer) in made.items():
            kept = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
            size = sum(v.numel() * v.element_size() for v in kept if v.numel() > 1)
            per = size / sum(p.numel() for p in parameters if p.numel() > 1)
            rows.append(row(f"{name}_{key}_step", 1e6 * min(times[key]), "microseconds", "one step"))
            rows.append(row(f"{name}_{key}_state", per, "bytes per parameter", "what the optimizer keeps"))
            peak = peak_bytes(_training(models[key], optimizer)) / 1024
            rows.append(row(f"{name}_{key}_peak", peak, "KiB", "a training step of batch 32, beyond the weights"))
    return rows


def _ready(model: torch.nn.Module, kind: Any) -> tuple[Sequence[Tensor], torch.optim.Optimizer]:
    parameters = list(model.parameters())
    optimizer = kind(parameters, lr=1e-3, weight_decay=1e-2)
    for p in parameters:
        p.grad = torch.full_like(p, 1e-3)
    optimizer.step()
    return parameters, optimizer


def _training(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """One step of it, the second, for the first allocates what stays."""
    x, y = torch.rand(1, 32, 1, 8, 8), torch.arange(32) % 10

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x, None)[0], y).backward()
        optimizer.step()

    step()
    optimizer.zero_grad()
    return step
