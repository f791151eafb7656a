"""Steps two implementations on the same gradients and compares their parameters after every step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from optim.rules import Rule, coefficients
from optim.stacked import Stacked

SHAPES = [(3, 2, 3, 3), (5,), (4, 7)]


def gradients(steps: int, shapes: list[tuple[int, ...]], dtype: torch.dtype, seed: int = 0) -> list[list[Tensor]]:
    """Noise of very different sizes, so that a wrong denominator or order shows."""
    g = torch.Generator().manual_seed(seed)
    scale = [10.0 ** (i - 1) for i in range(len(shapes))]
    return [
        [torch.randn(s, generator=g, dtype=torch.float64).mul(k).to(dtype) for s, k in zip(shapes, scale, strict=True)]
        for _ in range(steps)
    ]


def start(dtype: torch.dtype) -> list[Tensor]:
    g = torch.Generator().manual_seed(1)
    return [torch.randn(s, generator=g, dtype=torch.float64).to(dtype) for s in SHAPES]


def stacked_path(
    rules: list[Rule],
    steps: int,
    dtype: torch.dtype,
    eta: np.ndarray | None = None,
    updates: float = 100.0,
) -> list[list[list[Tensor]]]:
    """Parameters [step][trial][tensor] of a stack in which every trial sees the same start and gradients."""
    eta = np.ones(steps) if eta is None else eta
    parameters = [torch.stack([p] * len(rules)).requires_grad_() for p in start(dtype)]
    optimizer = Stacked(parameters, rules[0].family, [len(s) > 1 for s in SHAPES])
    table = np.stack([coefficients(r, np.arange(steps) + 1, eta, np.full(steps, updates)) for r in rules], -1)
    rows, live = torch.from_numpy(table).to(dtype), torch.ones(len(rules), dtype=torch.bool)
    path = []
    for step, gs in enumerate(gradients(steps, SHAPES, dtype)):
        for p, g in zip(parameters, gs, strict=True):
            p.grad = torch.stack([g] * len(rules))
        optimizer.step(rows[step], live)
        path.append([[p[i].detach().clone() for p in parameters] for i in range(len(rules))])
    return path


def single_path(make: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int, dtype: torch.dtype) -> list:
    """Parameters [step][tensor] under a torch.optim optimizer."""
    parameters = [p.requires_grad_() for p in start(dtype)]
    optimizer = make(parameters)
    path = []
    for gs in gradients(steps, SHAPES, dtype):
        for p, g in zip(parameters, gs, strict=True):
            p.grad = g.clone()
        optimizer.step()
        path.append([p.detach().clone() for p in parameters])
    return path


def largest_difference(one: list[list[Tensor]], other: list[list[Tensor]]) -> float:
    """Over all steps and tensors: the largest difference relative to the tensor's largest element."""
    return max(
        float((a.double() - b.double()).abs().max() / b.double().abs().max())
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )
