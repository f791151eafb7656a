"""Embedding tables whose gradients name few rows, and one way to train them sparsely or densely."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from optim.sparse import SparseAdamW

SHAPES = ((400, 3), (100, 2, 2))  # the last row of each is never touched
STEPS = 600
EQUAL = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
}  # of weights up to 4; float32: what rounding makes of dense AdamW itself


def warm_cosine(step: int) -> float:
    return min(1.0, step / 60) * 0.5 * (1 + math.cos(math.pi * step / STEPS))


def tables(dtype: torch.dtype) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for s in SHAPES]


def sparse_gradient(p: Tensor, step: int, rows: int) -> Tensor:
    """Of rows drawn with repetition, sizes from 1e-8 to 1 (eps matters in some rows and not in others), uncoalesced."""
    g = torch.Generator().manual_seed(step)
    index = torch.randint(0, len(p) - 1, (1, rows), generator=g)
    values = torch.randn(rows, *p.shape[1:], generator=g, dtype=torch.float64)
    values *= 10.0 ** -torch.randint(0, 9, (rows,), generator=g).view(-1, *[1] * (p.dim() - 1))
    with torch.sparse.check_sparse_tensor_invariants(False):
        return torch.sparse_coo_tensor(index, values.to(p.dtype), p.shape)


def groups(p: list[Tensor], **more: Any) -> list[dict[str, Any]]:
    return [{"params": p[:1], **more}, {"params": p[1:], "lr": 3e-3, "weight_decay": 2.0, "betas": (0.6, 0.95), **more}]


def sparse(p: list[Tensor], convention: str = "torch") -> torch.optim.Optimizer:
    given = groups(p)
    if convention == "paper":
        given[0]["weight_decay"], given[1]["weight_decay"] = 1e-2 * 0.1, 3e-3 * 2.0
    made = SparseAdamW(given, 1e-2, weight_decay=0.1, convention=convention)
    for q in p:
        made.catch_up(q)  # nobody reads rows between these steps
    return made


def dense(p: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups(p), 1e-2, weight_decay=0.1)


def train(p: list[Tensor], optimizer: torch.optim.Optimizer, first: int, last: int, **schedule: Any) -> list[Tensor]:
    """Steps in which 1 % of the rows have a gradient, under a cosine with warm-up."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine, last_epoch=first - 1 if first else -1)
    for step in range(first, last):
        for q in p:
            gradient = sparse_gradient(q, step, len(q) // 100)
            q.grad = gradient if isinstance(optimizer, SparseAdamW) else gradient.to_dense()
        optimizer.step()
        scheduler.step()
    return p


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a.detach().double() - b.detach().double()).abs().max()) for a, b in zip(one, other, strict=True))
