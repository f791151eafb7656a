"""Lookahead: slow weights that every k steps go a part of the way to the fast ones, which start again from there.

`Lookahead(optimizer)` wraps any torch.optim.Optimizer; `Slow(parameters, k, alpha).step(count, live)` does it for a
stack of networks, each with its own k and alpha. Source: Zhang, Lucas, Hinton & Ba 2019, arXiv:1907.08610.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Lookahead(torch.optim.Optimizer):
    """The optimizer `fast` with slow weights phi [as each parameter], every `k` of its steps:

        phi <- phi + alpha (theta - phi)        theta <- phi

    phi begins as theta when this object is made, or the group added; load a model's weights before. The moments of
    `fast` are kept as they are. Defaults: k = 5, alpha = 0.5. `param_groups` are those of `fast`, so LR schedulers and
    clipping work on either. Memory: 4 bytes per float32 parameter besides those of `fast`.
    """

    def __init__(self, fast: torch.optim.Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"k={k!r}: must be a whole number of steps, 1 or more")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha!r}: must lie between 0 and 1")
        self.fast, self.k, self.alpha = fast, k, alpha
        self.count = 0  # steps since the start
        self.slow: dict[Tensor, Tensor] = {}
        self._made = False
        super().__init__([{"params": list(group["params"])} for group in fast.param_groups], fast.defaults)
        self._made = True
        self._share()
        self._begin()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self._made:
            self.fast.add_param_group(param_group)
            self._begin()
        else:
            super().add_param_group(param_group)  # torch.optim's own constructor, whose groups are then replaced

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of `fast`, and every `k` of them the pull. Returns what `fast.step` returns."""
        loss = self.fast.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            self._pull()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """{"fast": that of `fast`, "slow": tensors in the order of the parameters, "count", "k", "alpha"}."""
        slow = [self.slow[p] for p in self._parameters()]
        return {"fast": self.fast.state_dict(), "slow": slow, "count": self.count, "k": self.k, "alpha": self.alpha}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` returned, into a wrapper of the same optimizer over parameters of the same shapes."""
        if missing := {"fast", "slow", "count", "k", "alpha"} - set(state_dict):
            raise ValueError(f"not a state_dict of optim.Lookahead: {', '.join(sorted(missing))} missing")
        parameters, slow = self._parameters(), state_dict["slow"]
        if [p.shape for p in parameters] != [s.shape for s in slow]:
            raise ValueError(
                f"slow weights of {len(slow)} tensors do not have the shapes of {len(parameters)} parameters"
            )
        self.fast.load_state_dict(state_dict["fast"])
        self._share()
        self.count, self.k, self.alpha = state_dict["count"], state_dict["k"], state_dict["alpha"]
        self.slow = {p: torch.empty_like(p).copy_(s) for p, s in zip(parameters, slow, strict=True)}

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("fast", "k", "alpha", "count", "slow")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Lookahead.__init__(self, state["fast"], state["k"], state["alpha"])
        self.count, self.slow = state["count"], state["slow"]

    def _share(self) -> None:
        self.param_groups, self.state, self.defaults = self.fast.param_groups, self.fast.state, self.fast.defaults

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def _begin(self) -> None:
        for p in self._parameters():
            if p not in self.slow:
                self.slow[p] = p.detach().clone(memory_format=torch.preserve_format)

    @torch.no_grad()
    def _pull(self) -> None:
        if hasattr(self.fast, "catch_up"):
            self.fast.catch_up()  # optim.SparseAdamW leaves rows behind
        parameters = self._parameters()
        slow = [self.slow[p] for p in parameters]
        torch._foreach_lerp_(slow, parameters, self.alpha)
        torch._foreach_copy_(parameters, slow)


class Slow:
    """Slow weights of a stack, parameters [R, ...]: `step(count, live)` after each optimizer step.

    `k` and `alpha`: one number for all trials, or one for each [R]. k = 0: that trial has no slow weights. Trials do
    not mix: one that is not due, or not live, keeps its weights to the bit, whatever the others hold.
    Memory: 4 bytes per float32 parameter and trial. Nothing here makes the host wait for a GPU.
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
        """Pull the trials that are live and due. count: steps taken since the start, of all or [R]; live: bool [R]."""
        due = live & (self.k > 0) & (count % self.k.clamp(min=1) == 0)
        for p, slow in zip(self.parameters, self.slow, strict=True):
            over = (-1,) + (1,) * (p.dim() - 1)
            pulled = torch.lerp(slow, p, self.alpha.to(p.dtype).view(over))
            slow.copy_(torch.where(due.view(over), pulled, slow))
            p.copy_(torch.where(due.view(over), pulled, p))

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"slow": self.slow}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for mine, theirs in zip(self.slow, state["slow"], strict=True):
            mine.copy_(theirs)
