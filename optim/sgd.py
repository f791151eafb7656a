"""SGD with momentum and an L2 penalty, and SGDW with decoupled weight decay, as torch.optim optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from optim import cpu, device
from optim.cohort import Cohort
from optim.optimizer import Optimizer, non_negative


class SGD(Optimizer):
    """SGD with heavy-ball momentum and an L2 penalty, which passes through the momentum. No dampening, no Nesterov.

        g <- g + weight_decay theta;  m <- momentum m + g;  theta <- theta - lr m

    Source: Loshchilov & Hutter 2019, Algorithm 1, the L2 branch, with the rate outside the buffer as in
    torch.optim.SGD and in the code that the paper's experiments ran. Keeps 4 bytes for each float32 parameter (m, none
    at momentum 0), moves 20 in a step.
    """

    decoupled = False
    counted = False
    unserved = {"dampening": 0, "nesterov": False, "maximize": False, "differentiable": False}  # noqa: RUF012

    def __init__(self, params: Any, lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def step_cohort(
        self, cohort: Cohort, tensors: tuple[list[Tensor], ...], decay: float, grad_scale: Tensor | None
    ) -> None:
        group = cohort.group
        l2 = 0.0 if self.decoupled else group["weight_decay"]
        named = {"lr": group["lr"], "momentum": group["momentum"], "l2": l2, "decay": decay}
        if cohort.parameters[0].is_cuda:
            device.sgd(cohort, tensors, grad_scale, **named)
        else:
            cpu.sgd(tensors, grad_scale=grad_scale, alone=cohort.is_small, **named)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        non_negative(group, "momentum")


class SGDW(SGD):
    """SGD with momentum and decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 1).

        m <- momentum m + g;  theta <- theta - lr m - decay theta, of the old theta

    Memory and traffic are those of `SGD`; `convention` and `release` as in `optim.AdamW`. torch.optim has no such
    class; its state is that of SGD.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        convention: str = "torch",
        release: bool = True,
    ) -> None:
        named = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        Optimizer.__init__(self, params, named | {"convention": convention, "release": release})
