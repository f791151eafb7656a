"""AdamW for embeddings whose gradient names only the rows of the batch: `SparseAdamW`, a torch.optim.Optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.utils.hooks import RemovableHandle

from optim.adam import AdamW
from optim.base import refusals
from optim.base.groups import Grouped, evaluated, outside_graphs
from optim.base.snapshot import complete
from optim.resting import Resting, before_forward, before_state_dict

# Beyond this decay of a step no row rests: `optim.catch_up` divides by products of 1 - decay, and over many such steps
# these quotients would overflow.
STRONG = 0.1
MOMENTS = ("exp_avg", "exp_avg_sq")


class SparseAdamW(Grouped):
    """AdamW whose step costs what the touched rows of an embedding cost, and equals the dense one.

        m <- beta1 m + (1 - beta1) g     v <- beta2 v + (1 - beta2) g^2
        theta <- (1 - decay) theta - lr m_hat / (sqrt(v_hat) + eps)

    Source: Loshchilov & Hutter 2019, Algorithm 2, the decoupled branch. For rows that a `torch.sparse_coo` gradient
    leaves out g is 0. Dense AdamW goes on moving them by their momentum and decaying them, each step at that step's own
    lr. Here they are left alone, and what they are owed is caught up when they are next touched, exactly but for
    rounding (see `optim.catch_up`). torch.optim.SparseAdam never applies it.

    A forward pass must not read rows that are behind. `follow(embedding)` sees to that, also before evaluation and
    before the module's state_dict. Without it call `catch_up(weight, indices)` before each forward pass, and
    `catch_up()` before anything else reads the weights. `state_dict()`, which torch.optim.AdamW loads, calls it too.

    Parameters with dense gradients get the plain dense step. Groups and state may be edited between steps, as those of
    torch.optim; rows at rest are caught up first, with the moments that they had. Moments or rows that are changed in
    place while they rest are refused (RuntimeError): `catch_up()` before.

    State: 8 bytes per float32 parameter, as in AdamW, 8 bytes per row and about 120 bytes per step since the last
    `catch_up()`. All numbers may differ between parameter groups and be set anew between steps.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: float32 or float64.
        lr: learning rate, 0 or more. In the paper's convention above 0. Default 1e-3.
        betas: decay rates of the moments m and v: 0 <= beta1 < sqrt(beta2) and 0 < beta2 < 1. Default (0.9, 0.999).
        eps: added to the root of the second moment, above 0. Default 1e-8.
        weight_decay: 0 or more, in the unit that `convention` says; the decay of a step must be below 1. Default 1e-2.
        amsgrad: not served: must be False.
        convention: the decay of a step is lr * weight_decay ("torch"), or lr / base_lr * weight_decay ("paper") with
            base_lr the `lr` that a group was given; see `optim.AdamW`. Default "torch".
        foreach: how torch.optim would compute the same step; accepted and without effect. Default None.
        maximize: not served: must be False.
        capturable: not served: must be False. For CUDA graphs see `optim.cuda.launch`.
        differentiable: not served: must be False.
        fused: as `foreach`.

    Raises:
        TypeError: for a parameter of another type, or a gradient that is neither dense nor sparse along the first axis.
        ValueError: for a number out of its range, a variant that is not served, a parameter that occurs twice.
    """

    decoupled = True
    counted = True
    own = ("convention",)
    unserved = AdamW.unserved

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        convention: str = "torch",
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self._resting: dict[Tensor, Resting] = {}  # of the parameters of which rows are behind
        self._followed: set[Tensor] = set()  # parameters of which no warning is needed: somebody calls `catch_up`
        named: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"amsgrad": amsgrad, "foreach": foreach, "maximize": maximize, "capturable": capturable}
        options |= {"differentiable": differentiable, "fused": fused}
        super().__init__(params, named | {"convention": convention}, options)

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        """As in `Grouped`."""
        return MOMENTS

    @torch.no_grad()
    @outside_graphs
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the parameters' `.grad`; those without are left alone. Returns what `closure` returns."""
        loss = evaluated(closure)
        self.check_groups()
        # A parameter that has left its group is stepped no more: its rows get what they are owed up to now.
        members = {p for group in self.param_groups for p in group["params"]}
        self._bring([p for p in self._resting if p not in members])
        for group in self.param_groups:  # all that can be refused is refused before anything moves
            for p in group["params"]:
                if p.grad is not None:
                    refusals.sparse_gradient(p, p.grad)
                    self._start(p)
            self._decay(group)
        for group in self.param_groups:
            dense = []
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.layout is torch.strided:
                    self._bring([p])  # every row is touched now
                    dense.append(p)
                else:
                    self._step_rows(group, p, p.grad)
            if dense:
                self._step_dense(group, dense)
        return loss

    @torch.no_grad()
    def catch_up(self, parameter: Tensor | None = None, rows: Tensor | None = None) -> None:
        """Bring rows up to the latest step, in place; RuntimeError for rows that were changed while they were behind.

        Args:
            parameter: whose rows; None: of all parameters. One that has nothing to catch up is left alone.
            rows: indices of rows, int64 in any shape; None: all rows.
        """
        if parameter is not None:
            self._followed.add(parameter)
        self._bring(list(self._resting) if parameter is None else [parameter], rows)

    def _bring(self, parameters: list[Tensor], rows: Tensor | None = None) -> None:
        """`catch_up`, without taking it for a sign that somebody sees to the parameters."""
        for p in parameters:
            resting = self._resting.get(p)
            if resting is None:
                continue
            if rows is not None:
                resting.bring(p, rows.unique())
            else:
                resting.bring_all(p)
                del self._resting[p]  # and with it the history, which no row needs any more

    def follow(self, module: nn.Embedding | nn.EmbeddingBag) -> tuple[RemovableHandle, ...]:
        """Catch up rows of the module's weight before its forward pass and its state_dict read them, from now on.

        All are caught up before other weights are loaded. Returns the handles of the hooks. A copy of the module has a
        copy of this optimizer.
        """
        self._followed.add(module.weight)
        return (
            module.register_forward_pre_hook(partial(before_forward, self), with_kwargs=True),
            module.register_state_dict_pre_hook(partial(before_state_dict, self)),
            module.register_load_state_dict_pre_hook(partial(before_state_dict, self)),
        )

    def state_dict(self) -> dict[str, Any]:
        """As torch.optim.AdamW's, which loads it; all rows are caught up first."""
        self.catch_up()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict` from here or from torch.optim.AdamW; what rows at rest were owed is forgotten."""
        super().load_state_dict(state_dict)
        self._resting.clear()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_resting": self._resting, "_followed": self._followed}

    def _start(self, p: Tensor) -> None:
        """Give `p` the state of the first step, if it has none, and otherwise see whether somebody has edited it."""
        state, resting = self.state[p], self._resting.get(p)
        complete(state, p, MOMENTS, True, "SparseAdamW", f"a parameter of shape {tuple(p.shape)}")
        # Somebody has given the state other moments: the rows are owed what the old ones say.
        if resting is not None and not resting.belongs_to(p, state):
            self._bring([p])
        if not isinstance(state["step"], Tensor):
            state["step"] = torch.tensor(float(state["step"]))

    def _step_rows(self, group: dict[str, Any], p: Tensor, gradient: Tensor) -> None:
        """Step the rows that a sparse gradient names; all other rows rest."""
        lr, eps, decay = float(group["lr"]), group["eps"], self._decay(group)
        betas = refusals.betas_now(group)
        if p in self._resting and p not in self._followed:
            self._followed.add(p)
            what = f"rows of a parameter of shape {tuple(p.shape)} rest between steps, unseen by forward passes"
            warnings.warn(f"{what}: optimizer.follow(embedding), or catch_up(weight, rows) before each", stacklevel=3)
        if p in self._resting and self._resting[p].history.eps != eps:
            self._bring([p])  # a history is of one eps
        if p not in self._resting:
            state = self.state[p]
            self._resting[p] = Resting(p, (state["exp_avg"], state["exp_avg_sq"]), state["step"], betas, eps)
        self._resting[p].step(p, gradient, lr, betas, decay)
        if decay > STRONG:
            self._bring([p])

    def _step_dense(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Step parameters with dense gradients by torch.optim's own function."""
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = refusals.betas_now(group)
        # torch's function multiplies by 1 - lr * weight_decay.
        if self.option(group, "convention") == "paper":
            decay = self._decay(group) / lr if lr else 0.0
        moments1, moments2, steps = ([self.state[p][key] for p in parameters] for key in (*MOMENTS, "step"))
        gradients = [p.grad for p in parameters if p.grad is not None]
        more = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "amsgrad": False, "maximize": False}
        adamw(parameters, gradients, moments1, moments2, [], steps, lr=lr, weight_decay=decay, **more)

    def _decay(self, group: dict[str, Any]) -> float:
        """The fraction of each weight that this step removes; ValueError where that is all of it."""
        decay = self.asked_decay(group, refusals.finite(group, "lr"))
        if not decay < 1:
            raise ValueError(f"lr={group['lr']}, weight_decay={group['weight_decay']}: decay must be below 1 a step")
        return decay

    def _check(self, group: dict[str, Any], at_start: bool) -> None:
        super()._check(group, at_start)
        if at_start:
            refusals.non_negative(group, "eps")
            refusals.two_betas(group)
        if not group["eps"]:
            raise ValueError("eps=0: must be above 0, or rows never touched would move by 0/0")
        if not (betas := refusals.betas_now(group))[0] ** 2 < betas[1]:
            raise ValueError(f"betas={group['betas']!r}: must be 0 <= beta1 < sqrt(beta2) and 0 < beta2 < 1")
        for p in group["params"]:
            if p.dtype not in (torch.float32, torch.float64):
                raise TypeError(f"optim.SparseAdamW serves float32 and float64 parameters; got {p.dtype}")
