"""What a number called weight decay means: the conventions, and how to convert between them.

    l2          g <- g + wd * theta                          Adam + L2, SGD + L2: the penalty's gradient
    torch       theta <- theta - eta * lr * wd * theta       torch.optim.AdamW, optax, Keras
    paper       theta <- theta - eta * wd * theta            Loshchilov & Hutter 2019, Algorithms 1 and 2
    normalized  paper, wd = wd_norm * sqrt(b / (B * T))      the same, appendix B.1

eta is the schedule's multiplier, lr the base learning rate, b the batch size, B the number of training
examples, T the epochs of the run or, under restarts, of the current cycle; B * T / b counts updates.
"""

from __future__ import annotations

import math

DECOUPLED = ("torch", "paper", "normalized")
L2 = "l2"


def to_paper(convention: str, wd: float, lr: float, updates: float) -> float:
    """The paper's lambda, removed per step at eta = 1. `updates` = B * T / b; only `normalized` reads it."""
    if convention == "torch":
        return lr * wd
    if convention == "paper":
        return wd
    if convention == "normalized":
        return wd / math.sqrt(updates)
    raise ValueError(f"{convention!r} is no decoupled convention; one of {', '.join(DECOUPLED)} is")


def from_paper(convention: str, wd: float, lr: float, updates: float) -> float:
    """The inverse of `to_paper`; ZeroDivisionError for `torch` at lr = 0, where every wd means no decay."""
    if convention == "torch":
        return wd / lr
    if convention == "paper":
        return wd
    if convention == "normalized":
        return wd * math.sqrt(updates)
    raise ValueError(f"{convention!r} is no decoupled convention; one of {', '.join(DECOUPLED)} is")


def equivalents(convention: str, wd: float, lr: float, updates: float) -> dict[str, float]:
    """One decay in all three decoupled conventions, by name; the one given stays exact."""
    paper = to_paper(convention, wd, lr, updates)
    return {name: wd if name == convention else from_paper(name, paper, lr, updates) for name in DECOUPLED}
