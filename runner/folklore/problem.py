"""A small regression on which optimizers are compared step by step: `run(make)` trains it and returns its parameters.

float64, so that what is equal in algebra is equal to about 1e-15, and a difference is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

STEPS = 200
Row = dict[str, object]
Make = Callable[[Sequence[Tensor]], torch.optim.Optimizer]
After = Callable[[Sequence[Tensor], torch.optim.Optimizer], None]


def row(check: str, value: float, unit: str, what: str) -> Row:
    """A row of checks.csv."""
    return {"check": check, "value": value, "unit": unit, "what": what}


def network() -> nn.Module:
    """8 inputs, 16 tanh units, 1 output; the same weights at every call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)).double()


def run(make: Make, penalty: float = 0.0, after: After | None = None, steps: int = STEPS) -> Tensor:
    """All parameters after `steps` minibatches of 32. `penalty` / 2 times the squared norm is added to the loss;
    `after` is called between backward and step."""
    model = network()
    parameters = list(model.parameters())
    optimizer = make(parameters)
    random = torch.Generator().manual_seed(1)
    truth = torch.randn(8, 1, generator=random, dtype=torch.float64)
    for _ in range(steps):
        x = torch.randn(32, 8, generator=random, dtype=torch.float64)
        y = torch.sin(x @ truth) + 0.1 * torch.randn(32, 1, generator=random, dtype=torch.float64)
        loss = (model(x) - y).square().mean()
        if penalty:
            loss = loss + penalty / 2 * sum(p.square().sum() for p in parameters)
        optimizer.zero_grad()
        loss.backward()
        if after is not None:
            after(parameters, optimizer)
        optimizer.step()
    return flat(parameters)


def flat(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([p.detach().flatten() for p in parameters])


def distance(a: Tensor, b: Tensor) -> float:
    """Relative to how far training has moved the parameters at all."""
    start = flat(list(network().parameters()))
    return float((a - b).norm() / (a - start).norm())
