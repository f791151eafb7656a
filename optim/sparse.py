"""AdamW for embeddings whose gradient names only the rows of the batch: `SparseAdamW`, a torch.optim.Optimizer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.utils.hooks import RemovableHandle

from optim.following import BeforeForward, BeforeSaving
from optim.interchange import outgoing, settle
from optim.optimizer import CONVENTIONS, non_negative
from optim.replay import Resting

CHUNK = 2**17  # elements brought up to date at a time, so that scratch stays in the caches: 2^20 takes twice as long
STRONG = 0.1  # a decay per step; beyond, nothing rests, for sums over many such steps would overflow
UNSERVED = ("amsgrad", "maximize", "differentiable")  # options of torch.optim.AdamW


class SparseAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov & Hutter 2019) whose step costs what the touched rows cost, and equals the dense one.

        m <- beta1 m + (1 - beta1) g     v <- beta2 v + (1 - beta2) g^2
        theta <- (1 - decay) theta - lr m_hat / (sqrt(v_hat) + eps)

    For rows that a `torch.sparse_coo` gradient leaves out g is 0; dense AdamW goes on moving them by their momentum
    and decaying them, each step at that step's own lr. Here they are left alone, and what they are owed is caught up
    when they are next touched, exactly but for rounding (see `optim.replay`). torch.optim.SparseAdam leaves it out.

    A forward pass must not read rows that are behind. `follow(embedding)` sees to that, also before evaluation and
    before the module's state_dict; without it call `catch_up(weight, indices)` before each forward pass, and
    `catch_up()` before anything else reads the weights. `state_dict()` calls it itself, so it is one that
    torch.optim.AdamW loads; the weights that go with it are those after the call.

    Parameters with dense gradients get the plain dense step, so one optimizer serves a whole network.

    `lr`, `betas`, `eps` > 0 and `weight_decay` are numbers, may differ between groups and follow LR schedulers.
    `convention`: decay is lr * weight_decay ("torch"), or lr / base_lr * weight_decay ("paper"), base_lr being the lr
    that a group began with. float32 and float64. State: 8 bytes per float32 parameter, as in AdamW, 4 bytes per row
    and about 120 bytes per step since the last `catch_up()`.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        convention: str = "torch",
    ) -> None:
        self._resting: dict[Tensor, Resting] = {}
        self._followed: set[Tensor] = set()  # whose rows somebody sees to
        named = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, named | {"convention": convention})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1])
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        self.param_groups[-1].setdefault("base_lr", self.param_groups[-1]["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the parameters' `.grad`; those without are left alone. Returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            dense = []
            for p in group["params"]:
                if p.grad is None:
                    continue
                self._start(p)
                if p.grad.layout is torch.strided:
                    self._bring([p])
                    dense.append(p)
                else:
                    self._step_rows(group, p, p.grad)
            if dense:
                self._step_dense(group, dense)
        return loss

    @torch.no_grad()
    def catch_up(self, parameter: Tensor | None = None, rows: Tensor | None = None) -> None:
        """Bring rows up to the latest step: `rows` (indices in any shape) of `parameter`, all of it, or everything.

        A parameter that has nothing to catch up is left alone.
        """
        if parameter is not None:
            self._followed.add(parameter)
        self._bring(list(self._resting) if parameter is None else [parameter], rows)

    def _bring(self, parameters: list[Tensor], rows: Tensor | None = None) -> None:
        for p in parameters:
            resting = self._resting.get(p)
            if resting is None:
                continue
            if rows is not None:
                resting.bring(self._tensors(p), rows.unique())
                continue
            chunk = max(1, CHUNK // math.prod(p.shape[1:]))
            for begin in range(0, len(p), chunk):
                resting.bring(self._tensors(p), slice(begin, begin + chunk))
            del self._resting[p]  # and with it the history, which no row needs any more

    def follow(self, module: nn.Embedding | nn.EmbeddingBag) -> tuple[RemovableHandle, RemovableHandle]:
        """From now on rows of the module's weight are caught up before its forward pass and its state_dict read them.

        Returns the handles of the two hooks. A copy of the module takes a copy of the optimizer along.
        """
        self._followed.add(module.weight)
        return (
            module.register_forward_pre_hook(BeforeForward(self), with_kwargs=True),
            module.register_state_dict_pre_hook(BeforeSaving(self)),
        )

    def state_dict(self) -> dict[str, Any]:
        """As torch.optim.AdamW's, which loads it; all rows are caught up first."""
        self.catch_up()
        packed = super().state_dict()
        return packed | {"param_groups": [outgoing(group) for group in packed["param_groups"]]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From here or from torch.optim.AdamW; what that has no word for keeps its value."""
        mine = self.param_groups
        for group in state_dict["param_groups"]:
            _refuse_options(group)
        super().load_state_dict({**state_dict, "state": deepcopy(state_dict["state"])})  # torch's would share memory
        self._resting.clear()
        for old, new in zip(mine, self.param_groups, strict=True):
            settle(old, new)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_resting": self._resting, "_followed": self._followed}

    def _start(self, p: Tensor) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)

    def _tensors(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return p, self.state[p]["exp_avg"], self.state[p]["exp_avg_sq"]

    def _step_rows(self, group: dict[str, Any], p: Tensor, gradient: Tensor) -> None:
        _refuse_gradient(p, gradient)
        _check_betas(group)  # a scheduler may have moved them
        lr, betas, eps, decay = group["lr"], group["betas"], group["eps"], _decay(group)
        if p in self._resting and p not in self._followed:
            self._followed.add(p)
            what = f"rows of a parameter of shape {tuple(p.shape)} rest between steps, unseen by forward passes"
            warnings.warn(f"{what}: optimizer.follow(embedding), or catch_up(weight, rows) before each", stacklevel=3)
        if p in self._resting and self._resting[p].history.eps != eps:
            self._bring([p])  # a history holds for one eps
        if p not in self._resting:
            self._resting[p] = Resting(p, int(self.state[p]["step"]), betas, eps)
        resting, tensors, gradient = self._resting[p], self._tensors(p), gradient.coalesce()
        rows, g = gradient.indices()[0], gradient.values()
        now, m, v = resting.read(tensors, rows)
        resting.history.append(lr, betas, decay)
        step = resting.history.step
        self.state[p]["step"].fill_(step)
        m.lerp_(g, 1 - betas[0])
        v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        below = (v.sqrt() / (1 - betas[1] ** step) ** 0.5).add_(eps)
        now.mul_(1 - decay).addcdiv_(m, below, value=-lr / (1 - betas[0] ** step))
        resting.write(tensors, rows, (now, m, v))
        if decay > STRONG:
            self._bring([p])

    def _step_dense(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        lr, decay = group["lr"], group["weight_decay"]
        if group["convention"] == "paper":
            decay = _decay(group) / lr if lr else 0.0
        states = [self.state[p] for p in parameters]
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            lr=lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=decay,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def _decay(group: dict[str, Any]) -> float:
    """The fraction of each weight that this step removes."""
    share = group["lr"] if group["convention"] == "torch" else group["lr"] / group["base_lr"]
    decay = float(share * group["weight_decay"])
    if decay >= 1:
        raise ValueError(f"lr={group['lr']!r}, weight_decay={group['weight_decay']!r}: decay must be below 1 a step")
    return decay


def _check(group: dict[str, Any]) -> None:
    _refuse_options(group)
    non_negative(group, "lr", "eps", "weight_decay")
    _check_betas(group)
    if not group["eps"]:
        raise ValueError("eps=0: must be above 0, or rows never touched would move by 0/0")
    if group["convention"] not in CONVENTIONS:
        raise ValueError(f"convention={group['convention']!r}: must be {' or '.join(CONVENTIONS)}")
    if group["convention"] == "paper" and not group["lr"]:
        raise ValueError("lr=0: in the paper's convention the schedule is read from lr / its first value")
    for p in group["params"]:
        if p.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"optim.SparseAdamW serves float32 and float64 parameters; got {p.dtype}")


def _check_betas(group: dict[str, Any]) -> None:
    beta1, beta2 = group["betas"]
    if not (beta1 >= 0 and 0 < beta2 < 1 and beta1**2 < beta2):
        raise ValueError(f"betas={group['betas']!r}: must be 0 <= beta1 < sqrt(beta2) and 0 < beta2 < 1")


def _refuse_options(group: dict[str, Any]) -> None:
    for key in UNSERVED:
        if group.get(key):
            raise ValueError(f"{key}={group[key]!r} is not served by optim.SparseAdamW")


def _refuse_gradient(p: Tensor, gradient: Tensor) -> None:
    if gradient.layout is not torch.sparse_coo or gradient.sparse_dim() != 1:
        dims = f" with {gradient.sparse_dim()} sparse dimensions" if gradient.layout is torch.sparse_coo else ""
        raise TypeError(
            "optim.SparseAdamW serves dense gradients and torch.sparse_coo ones that are sparse along dimension 0; "
            f"got {gradient.layout}{dims} for a parameter of shape {tuple(p.shape)}"
        )
