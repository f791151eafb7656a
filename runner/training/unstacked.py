"""Optimizers that cannot be stacked, with the methods of `optim.stacked.Stacked`: `Unstacked(...)` for a stack of one.

sparse_adamw steps only the rows of embeddings that a batch has touched; lomo updates within the backward pass. Both are
classes of `optim` for one network, without a trial axis. Here they get a step's coefficients, and for the trial's
parameters [1, ...] tensors [...] in the same memory.
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
    """The optimizer of one trial. `moments1` and `moments2` are lists of tensors [1, ...], to be saved and restored.

    Args:
        model: a network of one trial, whose embeddings are made sparse for sparse_adamw.
        rule: the trial's optimizer and numbers.
        weights: for each parameter whether it is a weight, or else a norm's scale or a bias (see `optim.rules`).

    A `lazy` one leaves rows behind between two calls of `settle`: then weights and moments must not be looked at.
    """

    launch: Any = None  # no kernel of its own, as a stack on the CPU

    def __init__(self, model: nn.Module, rule: Rule, weights: Sequence[bool]) -> None:
        self.parameters = self.sources = list(model.parameters())
        self.kinds = [0 if weight else 1 for weight in weights]
        self.count = 0
        self.in_backward = rule.optimizer == "lomo"
        self.lazy = not self.in_backward
        # One group for weights and one for norms and biases, as the two rows of coefficients.
        groups: list[dict[str, Any]] = [{"params": [], "kind": kind} for kind in (0, 1)]
        # What the optimizer steps. LOMO hooks the leaves themselves, for only they tell when a gradient is complete.
        self.own: list[Tensor] = list(self.parameters)
        if not self.in_backward:
            for module in model.modules():
                if isinstance(module, Embedding):
                    module.sparse = True
            self.own = [p.detach()[0] for p in self.parameters]  # [...], in the same memory
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
        """Bring the rows that a forward pass looks up up to date before it, from now on."""
        own = dict(zip(self.parameters, self.own, strict=True))
        for module in model.modules():
            if isinstance(module, Embedding):
                table = own[module.weight]
                module.register_forward_pre_hook(lambda _, args, table=table: self.optimizer.catch_up(table, args[0]))

    def prepare(self, rows: Tensor, live: Tensor) -> None:
        """Before the backward pass: the coefficients of the step, rows [2, COLUMNS, 1], and `live`, bool [1]."""
        for group in self.optimizer.param_groups:
            lr, decay = float(rows[group["kind"], LR, 0]), float(rows[group["kind"], DECAY, 0])
            # The coefficients hold the decay of a step, which these optimizers form as lr * weight_decay.
            group["lr"], group["weight_decay"] = lr, decay / lr if lr else 0.0
            # LOMO moves weights in every backward pass: at rate 0 those of a trial that has diverged stay as they are.
            if self.in_backward and not bool(live.any()):
                group["lr"] = group["weight_decay"] = 0.0

    def finite(self) -> Tensor:
        """Whether all gradients are finite: bool [1]. LOMO has freed them; the weights show at the end of the epoch."""
        gradients = [
            p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in self.parameters if p.grad is not None
        ]
        if not gradients:
            return torch.ones(1, dtype=torch.bool, device=self.parameters[0].device)
        return torch.stack([torch.isfinite(g).all() for g in gradients]).all()[None]

    @torch.no_grad()
    def step(self, rows: Tensor, live: Tensor, scale: Tensor | None = None, clock: Tensor | None = None) -> None:
        """After the backward pass, with the rows that `prepare` had; `live` bool [1]; `scale` and `clock` None."""
        assert scale is None, "settings refuse fp16 for these optimizers"
        assert clock is None, "without a kernel no step is recorded"
        if not bool(live.any()) and not self.in_backward:
            return
        if not self.in_backward:
            for own, p in zip(self.own, self.parameters, strict=True):
                own.grad = _without_trial(p.grad)
        self.optimizer.step()
        self.count += 1

    def settle(self) -> None:
        """Bring all rows up to date, so that the weights may be looked at."""
        if not self.in_backward:
            self.optimizer.catch_up()

    @property
    def moments1(self) -> list[Tensor]:
        """First moments [1, ...], views where they lie in the optimizer's state; none of lomo."""
        return self._moments("exp_avg")

    @property
    def moments2(self) -> list[Tensor]:
        """Second moments, likewise."""
        return self._moments("exp_avg_sq")

    def _moments(self, name: str) -> list[Tensor]:
        if self.in_backward:
            return []
        return [self.optimizer.state[p].get(name, torch.zeros_like(p))[None] for p in self.own]

    def restore(self, steps: int, moments1: Sequence[Tensor], moments2: Sequence[Tensor]) -> None:
        """Go on after `steps` steps with copies of `moments1` and `moments2`, [1, ...] each, in a fresh object."""
        self.count = steps
        if not self.in_backward:
            for p, m, v in zip(self.own, moments1, moments2, strict=True):
                step = torch.tensor(float(steps))
                # A saved state is read on the CPU, wherever the network is.
                first, second = (moment[0].to(p.device, copy=True) for moment in (m, v))
                self.optimizer.state[p] = {"step": step, "exp_avg": first, "exp_avg_sq": second}


def _without_trial(gradient: Tensor | None) -> Tensor | None:
    """[1, ...] as [...]; a sparse gradient has the trial as its first index."""
    if gradient is None:
        return None
    if not gradient.is_sparse:
        return gradient[0]
    # The first row of indices is the trial, 0 everywhere.
    whole = gradient.coalesce()
    shape = gradient.shape[1:]
    return torch.sparse_coo_tensor(
        whole.indices()[1:], whole.values(), shape, is_coalesced=True, check_invariants=False
    )
