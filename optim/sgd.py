"""SGD with momentum and an L2 penalty, and SGDW with decoupled weight decay, as torch.optim optimizers."""

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


class SGD(Optimizer):
    """SGD with heavy-ball momentum and an L2 penalty, which passes through the momentum.

        g <- g + weight_decay theta;  m <- momentum m + g;  theta <- theta - lr m

    Source: Loshchilov & Hutter 2019, Algorithm 1, the L2 branch, with the rate outside the buffer as in
    torch.optim.SGD and in the code that the paper's experiments ran. Keeps 4 bytes for each float32 parameter (m; none
    at momentum 0) and moves 20 in a step.

    `lr`, `momentum` and `weight_decay` may differ between parameter groups and be set anew between steps.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: dense and float32, on the CPU or CUDA, or float64 on
            the CPU.
        lr: learning rate, 0 or more. Default 1e-3.
        momentum: what is kept of the last update, 0 or more. At 0 no buffer is kept. Default 0.
        dampening: a variant of torch.optim.SGD that is not served: must be 0.
        weight_decay: coefficient of the L2 penalty, 0 or more. Default 0.
        nesterov: not served: must be False.
        maximize: not served: must be False.
        foreach: how torch.optim would compute the same step; accepted and without effect. Default None.
        differentiable: not served: must be False.
        fused: as `foreach`.

    Raises:
        TypeError: for a parameter or gradient of another type, layout, size or device.
        ValueError: for a number out of its range, a variant that is not served, a parameter that occurs twice.

    Whatever is refused, in the constructor or at a step, is refused before anything has moved.
    """

    decoupled = False
    counted = False
    unserved = {  # noqa: RUF012
        "dampening": 0,
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": None,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = {"dampening": dampening, "nesterov": nesterov, "maximize": maximize, "foreach": foreach}
        options |= {"differentiable": differentiable, "fused": fused}
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}, options)

    def state_names(self, group: dict[str, Any]) -> Sequence[str]:
        """As in `Grouped`."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def numbers(self, group: dict[str, Any]) -> dict[str, float]:
        """As in `Optimizer`: the arguments by name of the step on either device."""
        finite = refusals.finite
        wd, lr, momentum = finite(group, "weight_decay"), finite(group, "lr"), finite(group, "momentum")
        return {"lr": lr, "momentum": momentum, "l2": 0.0 if self.decoupled else wd}

    def step_cohort(
        self, cohort: Cohort, part: Part, steps: list[Tensor], decay: float, numbers: dict[str, float]
    ) -> None:
        """As in `Optimizer`."""
        tensors = (part.parameters, part.gradients, *part.moments)
        cpu.sgd(tensors, alone=cohort.is_small, decay=decay, **numbers)

    def step_on_cuda(self, cohort: Cohort, decay: float | np.ndarray, numbers: dict[str, float]) -> None:
        """As in `Optimizer`."""
        single.sgd(cohort, decay, **numbers)

    def _check(self, group: dict[str, Any], at_start: bool) -> None:
        super()._check(group, at_start)
        if at_start:
            refusals.non_negative(group, "momentum")


class SGDW(SGD):
    """SGD with momentum and decoupled weight decay.

        m <- momentum m + g;  theta <- theta - lr m - decay theta, of the old theta

    Source: Loshchilov & Hutter 2019, Algorithm 1, the decoupled branch. Memory and traffic are those of `SGD`.
    torch.optim has no such class; the state is that of torch.optim.SGD. All but `params` may differ between
    parameter groups; the numbers may be set anew between steps.

    Args:
        params: tensors, (name, tensor) pairs, or groups of either: dense and float32, on the CPU or CUDA, or float64 on
            the CPU.
        lr: learning rate, 0 or more. In the paper's convention above 0, for the schedule is read from it. Default 1e-3.
        momentum: what is kept of the last update, 0 or more. At 0 no buffer is kept. Default 0.
        dampening: a variant of torch.optim.SGD that is not served: must be 0.
        weight_decay: 0 or more, in the unit that `convention` says. Default 0.
        nesterov: not served: must be False.
        maximize: not served: must be False.
        foreach: how torch.optim would compute the same step; accepted and without effect. Default None.
        differentiable: not served: must be False.
        fused: as `foreach`.
        convention: the decay, which is the fraction removed of each weight in a step: "torch", lr * weight_decay, or
            "paper", lr / base_lr * weight_decay with base_lr the `lr` that a group was given; see `optim.AdamW`.
            Default "torch".
        release: whether decay too small for float32 is saved up until it is not (see `optim.release`); at the end of a
            run `release_decay()` applies the rest. Default True.

    Raises:
        TypeError: for a parameter or gradient of another type, layout, size or device.
        ValueError: for a number out of its range, a variant that is not served, a parameter that occurs twice.

    Whatever is refused, in the constructor or at a step, is refused before anything has moved.
    """

    decoupled = True
    own = ("convention", "release")
    unserved = SGD.unserved | {"decoupled_weight_decay": True}
    is_torchs = False  # the weight_decay of torch's SGD is an L2 penalty

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        convention: str = "torch",
        release: bool = True,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        named: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        options = {"dampening": dampening, "nesterov": nesterov, "maximize": maximize, "foreach": foreach}
        options |= {"differentiable": differentiable, "fused": fused}
        Optimizer.__init__(self, params, named | {"convention": convention, "release": release}, options)
