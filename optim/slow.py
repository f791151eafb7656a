"""Lookahead for a stack of networks, each with its own k and alpha: `Slow(parameters, k, alpha).step(count, live)`.

Source: Zhang, Lucas, Hinton & Ba 2019, arXiv:1907.08610.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optim.stacked import over_trials


class Slow:
    """Slow weights of a stack: `step(count, live)` after each optimizer step.

    Trials do not mix: one that is not due, or not live, keeps its weights to the bit, whatever the others hold.
    Memory: 4 bytes per float32 parameter and trial. Nothing here makes the host wait for a GPU.

    Args:
        parameters: of the stack, [R, ...] each; the slow weights begin as they are now.
        k: how many steps there are between two pulls, one number for all trials or one for each [R]; 0: that trial has
            no slow weights. Default 5.
        alpha: the part of the way that slow weights go, between 0 and 1, one number or [R]. Default 0.5.

    Raises:
        ValueError: for numbers of another shape or out of their range.
    """

    def __init__(self, parameters: Sequence[Tensor], k: Tensor | int = 5, alpha: Tensor | float = 0.5) -> None:
        self.parameters = list(parameters)
        trials, device = len(self.parameters[0]), self.parameters[0].device
        ks, alphas = torch.as_tensor(k), torch.as_tensor(alpha, dtype=torch.float64)
        for name, values in (("k", ks), ("alpha", alphas)):
            if values.shape not in ((), (trials,)):
                raise ValueError(
                    f"{name} of shape {tuple(values.shape)}: must be one number, or one for each of {trials}"
                )
        if ks.is_floating_point() or (ks < 0).any():
            raise ValueError(f"k={k!r}: must be whole numbers of steps, 0 or more")
        if not ((alphas >= 0) & (alphas <= 1)).all():
            raise ValueError(f"alpha={alpha!r}: must lie between 0 and 1")
        self.k = ks.expand(trials).to(device)
        self.alpha = alphas.expand(trials).to(device)
        self.slow = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def step(self, count: Tensor | int, live: Tensor) -> None:
        """Pull the trials that are live and due. `count`: steps taken since the start; `live`: bool [R].

        Every trial computes the pull, and `torch.where` takes it for those that are due: a GPU need not be asked which.
        """
        due = live & (self.k > 0) & (count % self.k.clamp(min=1) == 0)
        for p, slow in zip(self.parameters, self.slow, strict=True):
            due_here = over_trials(due, p)
            pulled = torch.lerp(slow, p, over_trials(self.alpha.to(p.dtype), p))
            slow.copy_(torch.where(due_here, pulled, slow))
            p.copy_(torch.where(due_here, pulled, p))

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The slow weights themselves, not copies: [R, ...] each."""
        return {"slow": self.slow}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Copy what `state_dict` returned, in `state`, into the slow weights; ValueError for another number of them."""
        for slow, saved in zip(self.slow, state["slow"], strict=True):
            slow.copy_(saved)
