"""Lookahead (Zhang et al. 2019, arXiv 1907.08610) for a stack: `Lookahead(parameters, k, alpha)`, called after steps.

Every k steps the slow weights go a fraction alpha of the way to the fast ones, and the fast ones start from there:
phi <- phi + alpha (theta - phi), theta <- phi. Moments stay as they are. Costs 4 bytes per parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Lookahead:
    """`slow`: the slow weights of every parameter, [R, ...], each trial with its own k and alpha."""

    def __init__(self, parameters: Sequence[Tensor], k: Sequence[int], alpha: Sequence[float]) -> None:
        """`k` 0: this trial has none. Begins from the parameters as they are."""
        device = parameters[0].device
        self.parameters = list(parameters)
        self.slow = [p.detach().clone() for p in parameters]
        self.k = torch.tensor([max(each, 1) for each in k], device=device)
        self.wanted = torch.tensor([each > 0 for each in k], device=device)
        self.alpha = torch.tensor(alpha, dtype=parameters[0].dtype, device=device)
        self.on_cpu = device.type == "cpu"

    @torch.no_grad()
    def __call__(self, taken: Tensor, live: Tensor) -> None:
        """After the step that makes `taken` (int64, no axes) of them; trials that are not `live` keep their bits."""
        due = self.wanted & live & (taken % self.k == 0)
        if self.on_cpu and not bool(due.any()):  # on a GPU asking would wait for it
            return
        for p, slow in zip(self.parameters, self.slow, strict=True):
            shape = (-1,) + (1,) * (p.dim() - 1)
            there = due.view(shape)
            slow.copy_(torch.where(there, slow + self.alpha.view(shape) * (p - slow), slow))
            p.copy_(torch.where(there, slow, p))
