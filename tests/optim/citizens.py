"""The optimizers under test, torch's own of the same name, and one way to train with either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import optim

Make = Callable[[Any], torch.optim.Optimizer]
OURS: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, 1e-2, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1),
    "AdamW small": lambda p: optim.AdamW(p, 1e-3, weight_decay=1e-3),
    "AdamW torch": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1, release=False),
    "AdamW paper": lambda p: optim.AdamW(p, 1e-2, weight_decay=1e-6, convention="paper"),
    "SGD": lambda p: optim.SGD(p, 1e-2, 0.9, weight_decay=0.1),
    "SGD plain": lambda p: optim.SGD(p, 1e-2),
    "SGDW": lambda p: optim.SGDW(p, 1e-2, 0.9, weight_decay=1e-3),
}
THEIRS: dict[str, Make] = {
    "Adam": lambda p: torch.optim.Adam(p, 1e-2, weight_decay=0.1, fused=True),
    "AdamW torch": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, 1e-2, 0.9, weight_decay=0.1, fused=True),
    "SGD plain": lambda p: torch.optim.SGD(p, 1e-2, fused=True),
}


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=g).to(dtype).requires_grad_() for s in [(3, 16, 2), (5,), (40,), ()]]


def train(
    parameters: list[Tensor], optimizer: torch.optim.Optimizer, first: int, last: int, gaps: bool = False
) -> None:
    """Steps `first` to `last`, with gradients that depend on the step only; with `gaps` some have none at times."""
    for step in range(first, last):
        g = torch.Generator().manual_seed(step)
        for i, p in enumerate(parameters):
            gradient = torch.randn(p.shape, generator=g).to(p.dtype)
            p.grad = None if gaps and step > 2 and (step + i) % 3 == 0 else gradient
        optimizer.step()


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
