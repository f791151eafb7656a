"""A stack in which every trial has its own rule, schedule and end, stepped by `Launch` and trial by trial by torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optim.cuda.launch import Launch
from optim.rules import Rule, coefficients

STEPS = 8
ADAMS = [
    Rule("adamw", 1e-2, 0.1),
    Rule("adam", 3e-3, 0.01, beta1=0.8, beta2=0.99),
    Rule("adamw", 1e-3, 0.5, beta2=0.95, eps=1e-6, decay_all=False),
    Rule("adam", 1e-2, 0.0, beta1=0.95),
]
SGDS = [Rule("sgd", 0.1, 0.01, beta1=0.9), Rule("sgd", 0.03, 0.0, beta1=0.5), Rule("sgd", 0.1, 0.3, beta1=0.0)]
ENDS = [STEPS, STEPS, 5, STEPS]  # a trial's last step
MANY_16 = [(2, 16, 4, 4), (16,), (130, 16)]  # elements of a trial; the last tensor has full blocks and a rest
ODD = [(3, 2, 3, 3), (5,), (11, 101)]


@dataclass
class Stack:
    """Tensors [R, ...] of a stack, and its gradients [step][tensor]."""

    rules: list[Rule]
    parameters: list[Tensor]
    moments1: list[Tensor]
    moments2: list[Tensor]
    gradients: list[list[Tensor]]
    etas: np.ndarray  # [R, steps]

    def launch(self) -> Launch:
        groups = [0 if p.dim() > 2 else 1 for p in self.parameters]
        return Launch(self.parameters, self.moments1, self.moments2, groups, len(self.rules), self.rules[0].family)

    def table(self) -> Tensor:
        """Rows of all steps, float32 [S, 2, COLUMNS, R]."""
        steps = np.arange(self.etas.shape[1]) + 1
        rows = [coefficients(r, steps, eta, np.ones(len(steps))) for r, eta in zip(self.rules, self.etas, strict=True)]
        return torch.from_numpy(np.stack(rows, -1)).float()

    def live(self, step: int) -> Tensor:
        return torch.tensor([step < end for end in ENDS[: len(self.rules)]])

    def state(self) -> list[Tensor]:
        return [t.detach().cpu().clone() for t in (*self.parameters, *self.moments1, *self.moments2)]


def make(rules: list[Rule], shapes: list[tuple[int, ...]], device: str = "cpu", steps: int = STEPS) -> Stack:
    g = torch.Generator().manual_seed(0)
    trials = len(rules)
    start = [torch.randn(trials, *shape, generator=g).to(device) for shape in shapes]
    scales = [10.0 ** (i - 1) for i in range(len(shapes))]
    noise = [
        [(torch.randn(trials, *shape, generator=g) * k).to(device) for shape, k in zip(shapes, scales, strict=True)]
        for _ in range(steps)
    ]
    t = np.arange(steps) / steps
    etas = np.stack([np.cos(t), np.ones(steps), t + 0.1, 1 / (1 + t)])[:trials]
    zeros = [[torch.zeros_like(p) for p in start] for _ in range(2)]
    return Stack(rules, start, zeros[0], zeros[1] if rules[0].family == "adam" else [], noise, etas)


def torchs(stack: Stack) -> list[Tensor]:
    """Parameters and moments after all steps, [R, ...] each, of one fused torch optimizer a trial, on the CPU."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    slots = []
    for trial, rule in enumerate(stack.rules):
        mine = [p[trial].cpu().clone() for p in stack.parameters]
        family = (
            {"momentum": rule.beta1} if rule.family == "sgd" else {"betas": (rule.beta1, rule.beta2), "eps": rule.eps}
        )
        weights, rest = [p for p in mine if p.dim() > 1], [p for p in mine if p.dim() == 1]
        groups = [{"params": weights}, {"params": rest, "weight_decay": rule.wd * rule.decay_all}]
        optimizer = kinds[rule.optimizer](groups, lr=rule.lr, weight_decay=rule.wd, fused=True, **family)
        for step in range(ENDS[trial]):
            for group in optimizer.param_groups:
                group["lr"] = rule.lr * stack.etas[trial, step]
            for p, g in zip(mine, stack.gradients[step], strict=True):
                p.grad = g[trial].cpu().clone()
            optimizer.step()
        names = ("momentum_buffer",) if rule.family == "sgd" else ("exp_avg", "exp_avg_sq")
        states = [[optimizer.state[p].get(n, torch.zeros_like(p)) for p in mine] for n in names]
        slots.append([*mine, *(s for state in states for s in state)])
    return [torch.stack(list(of)) for of in zip(*slots, strict=True)]


def ulps(one: Tensor, other: Tensor) -> Tensor:
    """How many float32 numbers lie between the elements of two tensors."""

    def order(t: Tensor) -> Tensor:
        bits = t.contiguous().view(torch.int32).long()
        return torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    return (order(one) - order(other)).abs()
