"""Adam with its L2 penalty and AdamW with decoupled weight decay, as torch.optim optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from optim import cpu, device
from optim.cohort import Cohort
from optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with an L2 penalty, which passes through both moments.

        g <- g + weight_decay theta;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
        theta <- theta - lr mhat / (sqrt(vhat) + eps),  mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t)

    Source: Loshchilov & Hutter 2019, Algorithm 2, the L2 branch; torch.optim.Adam to the bit. Keeps 8 bytes for each
    float32 parameter (m, v), moves 28 in a step (reads theta, g, m, v, writes theta, m, v).

    `lr`, `betas`, `eps` and `weight_decay` are plain numbers and may differ between parameter groups.
    """

    decoupled = False
    counted = True
    unserved = {"amsgrad": False, "maximize": False, "differentiable": False, "decoupled_weight_decay": False}  # noqa: RUF012

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        return ("exp_avg", "exp_avg_sq")

    def step_cohort(
        self, cohort: Cohort, tensors: tuple[list[Tensor], ...], decay: float, grad_scale: Tensor | None
    ) -> None:
        group = cohort.group
        cohort.advance()
        beta1, beta2 = group["betas"]
        l2 = 0.0 if self.decoupled else group["weight_decay"]
        named = {"lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"], "l2": l2, "decay": decay}
        if cohort.parameters[0].is_cuda:
            device.adam(cohort, tensors, grad_scale, **named)
        else:
            cpu.adam(tensors, cohort.counts, grad_scale=grad_scale, alone=cohort.is_small, **named)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not group["eps"] >= 0:
            raise ValueError(f"eps={group['eps']!r}: must be 0 or more")
        if isinstance(group["betas"][0], Tensor) or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"betas={group['betas']!r}: must be two numbers, 0 or more and below 1")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2).

        m, v and the step as in `Adam` with the plain gradient;  theta <- theta - decay theta, of the old theta

    Memory and traffic are Adam's: 8 bytes kept, 28 moved for each float32 parameter.

    `convention` says what `weight_decay` means, per step and weight:

        torch    lr * weight_decay * weight                  as torch.optim.AdamW; decay falls with the base rate
        paper    lr / base_lr * weight_decay * weight        decay follows the schedule, whatever the base rate is

    base_lr is the `lr` that a group began with; a scheduler moves lr away from it.

    With `release`, decay too small for float32 is saved up and applied once it is not (see `optim.release`; at the
    end of a run `release_decay()` applies the rest). Without, the step is torch.optim.AdamW's to the bit.
    """

    decoupled = True
    unserved = Adam.unserved | {"decoupled_weight_decay": True}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        convention: str = "torch",
        release: bool = True,
    ) -> None:
        named = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        Optimizer.__init__(self, params, named | {"convention": convention, "release": release})
