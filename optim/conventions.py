"""What a number called weight decay means: the conventions, and how to convert between the decoupled ones.

    l2          g <- g + wd * theta                          Adam + L2, SGD + L2: the penalty's gradient
    torch       theta <- theta - eta * lr * wd * theta       torch.optim.AdamW, optax, Keras
    paper       theta <- theta - eta * wd * theta            Loshchilov & Hutter 2019, Algorithms 1 and 2
    normalized  paper, wd = wd_norm * sqrt(b / (B * T))      the same, appendix B.1

eta is the schedule's multiplier, lr the base learning rate, b the batch size, B the number of training examples, T the
epochs of the run or, under restarts, of the current cycle; B * T / b counts updates. L2 in Adam equals no decoupled
decay, so nothing here converts it: that is the paper.
"""

from __future__ import annotations

import math

DECOUPLED = ("torch", "paper", "normalized")
L2 = "l2"


def to_paper(convention: str, wd: float, lr: float, updates: float) -> float:
    """`wd` of a decoupled convention in the paper's unit.

    Args:
        convention: "torch", "paper" or "normalized".
        wd: the decay in that convention.
        lr: the base learning rate; only "torch" reads it.
        updates: B * T / b, the steps of the run or cycle; only "normalized" reads it.

    Returns:
        the paper's lambda: the fraction of each weight that a step removes at eta = 1.

    Raises:
        ValueError: for another convention.
    """
    if convention == "torch":
        return lr * wd
    if convention == "paper":
        return wd
    if convention == "normalized":
        return wd / math.sqrt(updates)
    raise ValueError(f"{convention!r} is no decoupled convention; one of {', '.join(DECOUPLED)} is")


def from_paper(convention: str, wd: float, lr: float, updates: float) -> float:
    """The inverse of `to_paper`, with the same arguments: `wd` is the paper's lambda, what returns is in `convention`.

    Raises:
        ValueError: for another convention.
        ZeroDivisionError: for "torch" at lr = 0, where every wd means no decay.
    """
    if convention == "torch":
        return wd / lr
    if convention == "paper":
        return wd
    if convention == "normalized":
        return wd * math.sqrt(updates)
    raise ValueError(f"{convention!r} is no decoupled convention; one of {', '.join(DECOUPLED)} is")


def equivalents(convention: str, wd: float, lr: float, updates: float) -> dict[str, float]:
    """`wd` of `convention` in all three decoupled conventions, by name; the given one stays exact to the bit.

    `lr`, `updates` and the errors are those of `to_paper` and `from_paper`.
    """
    paper = to_paper(convention, wd, lr, updates)
    return {name: wd if name == convention else from_paper(name, paper, lr, updates) for name in DECOUPLED}
