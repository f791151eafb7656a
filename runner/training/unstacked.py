"""Optimizers that cannot be stacked, behind the face of `optim.stacked.Stacked`: `Unstacked(...)` for a stack of one.

sparse_adamw steps only the rows of embeddings that a batch has touched; lomo updates within the backward pass. Both are
`optim`'s own classes; here they get a step's coefficients and the one trial's parameters, [1, ...], as theirs, [...].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optim.lomo import LOMO
from optim.rules import DECAY, LR, Rule
from optim.sparse import SparseAdamW
from runner.models.layers import Embedding


class Unstacked:
    """`moments1` and `moments2` are [1, ...], to be saved and restored; if it is `lazy`, those of the last `settle`."""

    launch: Any = None  # as for a stack without a kernel of its own

    def __init__(self, model: nn.Module, rule: Rule, weights: Sequence[bool]) -> None:
        """`weights[i]` says whether parameter i is a weight or a norm's scale or bias (see `optim.rules`)."""
        self.parameters = self.sources = list(model.parameters())
        self.kinds = [0 if weight else 1 for weight in weights]
        self.count = 0
        self.in_backward = rule.optimizer == "lomo"
        self.lazy = not self.in_backward  # between two calls of `settle` rows wait, and must not be looked at
        groups: list[dict[str, Any]] = [{"params": [], "kind": kind} for kind in (0, 1)]
        self.own: list[Tensor] = list(self.parameters)  # whose gradients trigger the update, for LOMO
        if not self.in_backward:
            for module in model.modules():
                if isinstance(module, Embedding):
                    module.sparse = True
            self.own = [p.detach()[0] for p in self.parameters]  # the same memory
            self._follow(model)
        for kind, p in zip(self.kinds, self.own, strict=True):
            groups[kind]["params"].append(p)
        groups = [group for group in groups if group["params"]]
        self.optimizer: Any = (
            LOMO(groups, lr=rule.lr)
            if self.in_backward
            else SparseAdamW(groups, lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.eps)
        )

    def _follow(self, model: nn.Module) -> None:
        """Rows that a forward pass looks up are brought up to date before it."""
        whose = dict(zip(self.parameters, self.own, strict=True))
        for module in model.modules():
            if isinstance(module, Embedding):
                mine = whose[module.weight]
                module.register_forward_pre_hook(lambda _, args, mine=mine: self.optimizer.catch_up(mine, args[0]))

    def prepare(self, rows: Tensor, live: Tensor) -> None:
        """Before the backward pass: the coefficients of the step, rows [2, COLUMNS, 1], and whether it is taken."""
        for group in self.optimizer.param_groups:
            lr, decay = float(rows[group["kind"], LR, 0]), float(rows[group["kind"], DECAY, 0])
            group["lr"], group["weight_decay"] = lr, decay / lr if lr else 0.0
            if self.in_backward and not bool(live.any()):  # it updates whatever is asked; what has diverged stays so
                group["lr"] = group["weight_decay"] = 0.0

    def finite(self) -> Tensor:
        """Whether the gradients are: bool [1]. LOMO's are gone, and show in the weights."""
        found = [
            p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in self.parameters if p.grad is not None
        ]
        if not found:
            return torch.ones(1, dtype=torch.bool, device=self.parameters[0].device)
        return torch.stack([torch.isfinite(g).all() for g in found]).all()[None]

    @torch.no_grad()
    def step(self, rows: Tensor, live: Tensor, scale: Tensor | None = None, clock: Tensor | None = None) -> None:
        """After the backward pass, with the rows that `prepare` had."""
        assert scale is None
        assert clock is None
        if not bool(live.any()) and not self.in_backward:
            return
        if not self.in_backward:
            for mine, p in zip(self.own, self.parameters, strict=True):
                mine.grad = _without_trial(p.grad)
        self.optimizer.step()
        self.count += 1

    def settle(self) -> None:
        """Bring rows that have not been touched for a while up to date, for whoever looks at the weights."""
        if not self.in_backward:
            self.optimizer.catch_up()

    @property
    def moments1(self) -> list[Tensor]:
        return self._moments("exp_avg")

    @property
    def moments2(self) -> list[Tensor]:
        return self._moments("exp_avg_sq")

    def _moments(self, name: str) -> list[Tensor]:
        if self.in_backward:
            return []
        return [self.optimizer.state[p].get(name, torch.zeros_like(p))[None] for p in self.own]

    def restore(self, steps: int, moments1: Sequence[Tensor], moments2: Sequence[Tensor]) -> None:
        """Go on after so many steps with these moments, [1, ...]."""
        self.count = steps
        if self.in_backward:
            return
        packed = self.optimizer.state_dict()
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        at = {id(p): i for i, p in enumerate(self.own)}
        packed["state"] = {
            place: {
                "step": torch.tensor(float(steps)),
                "exp_avg": moments1[at[id(p)]][0].clone(),
                "exp_avg_sq": moments2[at[id(p)]][0].clone(),
            }
            for place, p in enumerate(order)
        }
        self.optimizer.load_state_dict(packed)


def _without_trial(gradient: Tensor | None) -> Tensor | None:
    """[1, ...] as [...]; a sparse gradient has the trial as its first index."""
    if gradient is None:
        return None
    if not gradient.is_sparse:
        return gradient[0]
    whole = gradient.coalesce()
    shape = gradient.shape[1:]
    return torch.sparse_coo_tensor(
        whole.indices()[1:], whole.values(), shape, is_coalesced=True, check_invariants=False
    )
