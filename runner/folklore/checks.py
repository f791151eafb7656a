"""Trajectories and costs that settle claims of algebra: `measured()` gives the rows of checks.csv.

Distances are relative to the way that training went (`runner.folklore.problem`), with the settings lr 0.01 and
decay 0.1 for 200 steps unless a row says otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import optim
from runner.folklore.networks import costs
from runner.folklore.problem import STEPS, Row, distance, row, run

LR, WD = 0.01, 0.1


def measured() -> list[Row]:
    """One row per check: name, value, unit, what it is."""
    parts = (_l2_and_decay, _formulas, _without_momentum, _momentum, _by_hand, _linear_model, _cost, costs)
    return [check for part in parts for check in part()]


def _adam(wd: float = 0.0, **more: Any) -> Callable[[Sequence[Tensor]], torch.optim.Optimizer]:
    return lambda parameters: optim.Adam(parameters, lr=LR, weight_decay=wd, **more)


def _adamw(wd: float = WD, **more: Any) -> Callable[[Sequence[Tensor]], torch.optim.Optimizer]:
    return lambda parameters: optim.AdamW(parameters, lr=LR, weight_decay=wd, release=False, **more)


def _l2_and_decay() -> list[Row]:
    in_loss, in_gradient, decoupled = run(_adam(), penalty=WD), run(_adam(WD)), run(_adamw())
    return [
        row(
            "l2_in_loss_or_gradient",
            distance(in_gradient, in_loss),
            "relative",
            "Adam: L2 in the gradient and in the loss",
        ),
        row("adamw_or_l2", distance(in_gradient, decoupled), "relative", "AdamW and Adam + L2 with one coefficient"),
    ]


class _Formula(torch.optim.Optimizer):
    """theta - eta (m / (sqrt(v) + eps) + decay(eta) theta), with bias-corrected moments, as blog posts write it."""

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        super().__init__(parameters, {"lr": LR})
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.count += 1
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            if not state:
                state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
            m, v = state["m"], state["v"]
            m.mul_(0.9).add_(p.grad, alpha=0.1)
            v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
            m_hat, v_hat = m / (1 - 0.9**self.count), v / (1 - 0.999**self.count)
            p.sub_(LR * (m_hat / (v_hat.sqrt() + 1e-8) + self.decay * p))


def _formulas() -> list[Row]:
    torchs = run(lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=WD))
    once, twice = run(lambda p: _Formula(p, WD)), run(lambda p: _Formula(p, WD * LR))
    paper = run(lambda p: optim.AdamW(p, lr=LR, weight_decay=LR * WD, convention="paper", release=False))
    l2 = run(_adam(WD))
    return [
        row("traditional_adam_is_torch_adamw", distance(torchs, once), "relative", "eta (m / sqrt(v) + lambda theta)"),
        row("traditional_adam_is_adam", distance(l2, once), "relative", "the same and torch's Adam with weight_decay"),
        row("eta_twice_is_torch_adamw", distance(torchs, twice), "relative", "eta (m / sqrt(v) + lambda eta theta)"),
        row("paper_is_torch_adamw", distance(torchs, paper), "relative", "the paper's lambda = eta lambda of torch"),
    ]


def _without_momentum() -> list[Row]:
    """With beta1 = 0: what is left of Adam is its denominator. A huge eps makes that a constant: the control."""
    adamw = run(_adamw(betas=(0.0, 0.999)))
    sgd = run(lambda p: optim.SGDW(p, lr=LR, momentum=0.0, weight_decay=WD, convention="torch"))
    huge = 1e8
    flat_v = run(lambda p: optim.AdamW(p, lr=LR * huge, betas=(0.0, 0.999), eps=huge, weight_decay=WD / huge))
    return [
        row("beta1_0_is_sgd", distance(sgd, adamw), "relative", "AdamW with beta1 = 0 and SGD with weight decay"),
        row("beta1_0_constant_v_is_sgd", distance(sgd, flat_v), "relative", "the same with a constant denominator"),
    ]


def _momentum() -> list[Row]:
    l2 = run(lambda p: optim.SGD(p, lr=LR, momentum=0.9, weight_decay=WD))
    decoupled = run(lambda p: optim.SGDW(p, lr=LR, momentum=0.9, weight_decay=WD, convention="torch"))
    # Without a gradient, what is left is the decay: its rate once the buffer has filled.
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    theta.grad = torch.zeros_like(theta)
    optimizer = optim.SGD([theta], lr=1e-4, momentum=0.9, weight_decay=WD)
    for _ in range(400):
        optimizer.step()
    before = float(theta.detach())
    optimizer.step()
    rate = -math.log(float(theta.detach()) / before) / (1e-4 * WD)
    return [
        row("sgd_momentum_l2_or_decay", distance(l2, decoupled), "relative", "SGD with momentum 0.9: L2 and decay"),
        row("sgd_momentum_factor", rate, "times", "decay by L2 under momentum 0.9 over lr x wd"),
    ]


def _by_hand() -> list[Row]:
    def shrink(parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.mul_(1 - group["lr"] * WD)

    by_hand = run(lambda p: torch.optim.Adam(p, lr=LR), after=shrink)
    return [
        row(
            f"by_hand_is_{name}",
            distance(run(make), by_hand),
            "relative",
            f"a loop over p before step and {name}'s AdamW",
        )
        for name, make in (("torch", lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=WD)), ("optim", _adamw()))
    ]


def _linear_model() -> list[Row]:
    """3 inputs, loss = (sum of outputs)^2, lr 0.1, random inputs: hand-written updates against torch's."""
    rows = []
    for name, kind, wd in (("adam", torch.optim.Adam, 0.0), ("adamw", torch.optim.AdamW, 0.1)):
        random = torch.Generator().manual_seed(2)
        theta = torch.randn(3, generator=random, dtype=torch.float64)
        p = theta.clone().requires_grad_()
        m, v, worst = torch.zeros_like(theta), torch.zeros_like(theta), 0.0
        optimizer = kind([p], lr=0.1, weight_decay=wd)
        for t in range(1, 101):
            x = torch.randn(5, 3, generator=random, dtype=torch.float64)
            optimizer.zero_grad()
            (x @ p).sum().square().backward()
            optimizer.step()
            g = 2 * (x @ theta).sum() * x.sum(0)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            theta = theta * (1 - 0.1 * wd) - 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            worst = max(worst, float((theta - p.detach()).abs().max()))
        rows.append(
            row(f"linear_model_{name}", worst, "largest difference", f"{name} by hand and torch.optim, 100 steps")
        )
    return rows


def _cost() -> list[Row]:
    """Time of a training step, the fastest of many: L2 in the gradient and in the loss, against AdamW."""
    ways: dict[str, Callable[[], Tensor]] = {
        "adamw": lambda: run(_adamw()),
        "gradient": lambda: run(_adam(WD)),
        "loss": lambda: run(_adam(), penalty=WD),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(12):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    best = {name: min(seconds) / STEPS for name, seconds in times.items()}
    return [
        row("time_l2_in_gradient", best["gradient"] / best["adamw"], "times AdamW's", "training step, small network"),
        row("time_l2_in_loss", best["loss"] / best["adamw"], "times AdamW's", "training step, small network"),
    ]
