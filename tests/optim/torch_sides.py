"""Each optimizer of ours beside torch.optim's, or a few lines over it where torch.optim has none: `SIDES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import optim
from tests.optim.edits import Make


class DecayedSGD(torch.optim.SGD):
    """SGDW by torch.optim.SGD: weights are shrunk beforehand, and it is told of no decay."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
            group["weight_decay"] = 0.0
        loss = super().step(closure)
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss


class HandLookahead:
    """Slow weights by hand around an optimizer of torch."""

    def __init__(self, fast: torch.optim.Optimizer, k: int, alpha: float) -> None:
        self.fast, self.k, self.alpha, self.count = fast, k, alpha, 0
        self.slow: dict[Tensor, Tensor] = {}
        self._begin()

    def __getattr__(self, name: str) -> Any:
        if name == "fast":
            raise AttributeError(name)
        return getattr(self.fast, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "state":
            self.fast.state = value
        else:
            object.__setattr__(self, name, value)

    def _begin(self) -> None:
        used = [p for group in self.fast.param_groups for p in group["params"]]
        self.slow = {p: self.slow.get(p, p.detach().clone()) for p in used}

    @torch.no_grad()
    def step(self) -> None:
        self._begin()
        self.fast.step()
        self.count += 1
        if self.count % self.k == 0:
            for p, slow in self.slow.items():
                slow += self.alpha * (p - slow)
                p.copy_(slow)

    def add_param_group(self, group: dict[str, Any]) -> None:
        self.fast.add_param_group(group)
        self._begin()

    def state_dict(self) -> dict[str, Any]:
        self._begin()
        used = [p for group in self.fast.param_groups for p in group["params"]]
        return {**self.fast.state_dict(), "slow": [self.slow[p] for p in used], "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fast.load_state_dict({k: state[k] for k in ("state", "param_groups")})
        used = [p for group in self.fast.param_groups for p in group["params"]]
        self.slow = {p: slow.clone() for p, slow in zip(used, state["slow"], strict=True)}
        self.count = state["count"]


def both(
    ours: Callable[..., Any], theirs: Callable[..., Any], release: bool = False, **named: Any
) -> tuple[Make, Make]:
    more = {"release": release} if ours in (optim.AdamW, optim.SGDW) else {}
    return lambda p: ours(p, lr=0.01, **named, **more), lambda p: theirs(p, lr=0.01, foreach=False, **named)


def ahead(pair: tuple[Make, Make]) -> tuple[Make, Make]:
    return lambda p: optim.Lookahead(pair[0](p), 2, 0.6), lambda p: HandLookahead(pair[1](p), 2, 0.6)  # type: ignore


SIDES: dict[str, tuple[Make, Make]] = {
    "Adam": both(optim.Adam, torch.optim.Adam, weight_decay=0.1),
    "AdamW": both(optim.AdamW, torch.optim.AdamW, weight_decay=0.1),
    "AdamW released": both(optim.AdamW, torch.optim.AdamW, release=True, weight_decay=0.1),
    "SGD": both(optim.SGD, torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    "SGD plain": both(optim.SGD, torch.optim.SGD),
    "SGDW": both(optim.SGDW, DecayedSGD, momentum=0.9, weight_decay=0.1),
    "SparseAdamW": both(optim.SparseAdamW, torch.optim.AdamW, weight_decay=0.1),
    "LOMO": both(optim.LOMO, DecayedSGD, weight_decay=0.1),
}
SIDES |= {f"Lookahead {name}": ahead(pair) for name, pair in SIDES.items()}
