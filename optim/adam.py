"""Adam with its L2 penalty and AdamW with decoupled weight decay, as torch.optim optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from optim import cpu
from optim.base import refusals
from optim.base.cohort import Cohort, Part
from optim.base.optimizer import Optimizer
from optim.cuda import single


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with an L2 penalty, which passes through both moments.

        g <- g + weight_decay theta;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
        theta <- theta - lr mhat / (sqrt(vhat) + eps),  mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t)

    Source: Loshchilov & Hutter 2019, Algorithm 2, the L2 branch; torch.optim.Adam to the bit. Keeps 8 bytes for each
    float32 parameter (m, v) and moves 28 in a step (reads theta, g, m, v, writes theta, m, v).

    `lr`, `betas`, `eps` and `weight_decay` may differ between parameter groups and be set anew between steps.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: dense and float32, on the CPU or CUDA, or float64 on
            the CPU.
        lr: learning rate, 0 or more. Default 1e-3.
        betas: decay rates of the moments m and v, each in [0, 1). Default (0.9, 0.999).
        eps: added to the root of the second moment, 0 or more. Default 1e-8.
        weight_decay: coefficient of the L2 penalty, 0 or more. Default 0.
        amsgrad: a variant of torch.optim's class that is not served: must be False.
        foreach: how torch.optim would compute the same step; accepted and without effect. Default None.
        maximize: not served: must be False.
        capturable: not served: must be False. For CUDA graphs see `optim.cuda.launch`.
        differentiable: not served: must be False.
        fused: as `foreach`.

    Raises:
        TypeError: for a parameter or gradient of another type, layout, size or device.
        ValueError: for a number out of its range, a variant that is not served, a parameter that occurs twice.

    Whatever is refused, in the constructor or at a step, is refused before anything has moved.
    """

    decoupled = False
    counted = True
    unserved = {  # noqa: RUF012
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        named = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"amsgrad": amsgrad, "foreach": foreach, "maximize": maximize, "capturable": capturable}
        super().__init__(params, named, options | {"differentiable": differentiable, "fused": fused})

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        """As in `Grouped`."""
        return ("exp_avg", "exp_avg_sq")

    def numbers(self, group: dict[str, Any]) -> dict[str, float]:
        """As in `Optimizer`: the arguments by name of the step on either device."""
        finite = refusals.finite
        beta1, beta2 = refusals.betas_now(group)
        wd, lr, eps = finite(group, "weight_decay"), finite(group, "lr"), finite(group, "eps")
        return {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "l2": 0.0 if self.decoupled else wd}

    def step_cohort(
        self, cohort: Cohort, part: Part, steps: list[Tensor], decay: float, numbers: dict[str, float]
    ) -> None:
        """As in `Optimizer`."""
        tensors = (part.parameters, part.gradients, *part.moments)
        cpu.adam(tensors, steps, alone=cohort.is_small, decay=decay, **numbers)

    def step_on_cuda(self, cohort: Cohort, decay: float | np.ndarray, numbers: dict[str, float]) -> None:
        """As in `Optimizer`."""
        single.adam(cohort, decay, **numbers)

    def _check(self, group: dict[str, Any], at_start: bool) -> None:
        super()._check(group, at_start)
        if at_start:
            refusals.non_negative(group, "eps")
            refusals.two_betas(group)


class AdamW(Adam):
    """Adam with decoupled weight decay.

        m, v and the step as in `Adam` with the plain gradient;  theta <- theta - decay theta, of the old theta

    Source: Loshchilov & Hutter 2019, Algorithm 2, the decoupled branch. Memory and traffic are Adam's: 8 bytes kept, 28
    moved for each float32 parameter. All but `params` may differ between parameter groups; the numbers may
    be set anew between steps.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: dense and float32, on the CPU or CUDA, or float64 on
            the CPU.
        lr: learning rate, 0 or more. In the paper's convention above 0, for the schedule is read from it. Default 1e-3.
        betas: decay rates of the moments m and v, each in [0, 1). Default (0.9, 0.999).
        eps: added to the root of the second moment, 0 or more. Default 1e-8.
        weight_decay: 0 or more, in the unit that `convention` says. Default 1e-2.
        convention: the decay, which is the fraction removed of each weight in a step. Default "torch".
            "torch": lr * weight_decay, as in torch.optim.AdamW; it falls with the base rate.
            "paper": lr / base_lr * weight_decay, which follows the schedule, whatever the base rate is. base_lr is the
            `lr` that a group was given. OneCycleLR sets its own rates and ignores that one: give lr=max_lr, or the
            decay is larger by max_lr / lr. A rate of more than 10 base_lr is warned of once.
        release: whether decay too small for float32 is saved up until it is not (see `optim.release`); at the end of a
            run `release_decay()` applies the rest. False: torch.optim.AdamW's step to the bit. Default True.
        amsgrad: a variant of torch.optim's class that is not served: must be False.
        foreach: how torch.optim would compute the same step; accepted and without effect. Default None.
        maximize: not served: must be False.
        capturable: not served: must be False. For CUDA graphs see `optim.cuda.launch`.
        differentiable: not served: must be False.
        fused: as `foreach`.

    Raises:
        TypeError: for a parameter or gradient of another type, layout, size or device.
        ValueError: for a number out of its range, a variant that is not served, a parameter that occurs twice.

    Whatever is refused, in the constructor or at a step, is refused before anything has moved.
    """

    decoupled = True
    own = ("convention", "release")
    unserved = Adam.unserved | {"decoupled_weight_decay": True}

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
        release: bool = True,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        named: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"amsgrad": amsgrad, "foreach": foreach, "maximize": maximize, "capturable": capturable}
        options |= {"differentiable": differentiable, "fused": fused}
        Optimizer.__init__(self, params, named | {"convention": convention, "release": release}, options)
