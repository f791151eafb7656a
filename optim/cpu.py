"""Steps on the CPU through torch's fused operators: `Rows(...)` for a stack, `adam` and `sgd` for plain lists.

The operators pair elements as they lie in memory, whatever the strides say: what they get is contiguous, or a flat
view of one layout. They take one rate for all tensors of a call, so a stack is one call per live trial. A call costs
about a microsecond for each tensor besides the arithmetic: tensors below `GATHERED` elements a trial are therefore
copied into one row per trial, stepped as one tensor and copied back, while larger ones are stepped where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.arithmetic import ceil_div
from optim.cuda.layout import alike, dense, flat
from optim.rules import BETA1, BETA2, COUNT, DECAY, EPS, L2, LR
from optim.threads import threads_off, threads_on

GATHERED = 4096  # measured with 16 and 64 trials on 1 and 2 threads: 1024 is up to 15 % slower, no limit 35 %
RESIDENT = 2**16  # as much of a single trial, whose gradients alone are copied
ALIGN = 32  # elements; whole vectors only, so that a tensor's neighbours in the row do not change its rounding
TINY = 1e-300  # a rate that float32 rounds to 0, for steps at rate 0 that still decay

Tensors = list[Tensor]


def adam(
    tensors: tuple[Tensors, ...],
    steps: Tensors,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    l2: float = 0.0,
    decay: float = 0.0,
    alone: bool = False,
) -> None:
    """Adam on (parameters, gradients, first moments, second moments); `steps` holds the step count of each.

    `decay` is the fraction removed from the weights before the step, `l2` the coefficient of the penalty; not both.
    `alone`: on one thread, as is faster for small tensors.
    """
    if decay:
        lr = lr or TINY  # the operator forms 1 - lr * weight_decay, in float64
        operator: Any = torch._fused_adamw_
        weight_decay = decay / lr
    else:
        operator, weight_decay = torch._fused_adam_, l2
    parameters, gradients, moments1, moments2 = tensors
    more: Any = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay, "eps": eps, "grad_scale": None}
    lists: tuple[Tensors, ...] = (parameters, gradients, moments1, moments2, [], steps)
    _call(operator, alone, *lists, **more, amsgrad=False, maximize=False, found_inf=None)


def sgd(
    tensors: tuple[Tensors, ...],
    *,
    lr: float,
    momentum: float,
    l2: float = 0.0,
    decay: float = 0.0,
    alone: bool = False,
) -> None:
    """SGD on (parameters, gradients, momentum buffers); the buffers begin at zero, and momentum 0 needs none."""
    parameters, gradients, *buffers = tensors
    if decay:
        torch._foreach_mul_(parameters, 1 - decay)
    _call(
        torch._fused_sgd_,
        alone,
        parameters,
        gradients,
        buffers[0] if momentum else [],
        lr=lr,
        momentum=momentum,
        weight_decay=l2,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
        grad_scale=None,
        found_inf=None,
    )


def _call(operator: Any, alone: bool, parameters: Tensors, gradients: Tensors, *lists: Tensors, **named: Any) -> None:
    try:
        if alone:
            threads_off()
        operator(parameters, gradients, *lists, **named)
    except RuntimeError:
        # Views of conjugated numbers are negated when they are read, which operators on lists refuse beforehand.
        if not any(map(Tensor.is_neg, gradients)):
            raise
        operator(parameters, [g.resolve_neg() for g in gradients], *lists, **named)
    finally:
        if alone:
            threads_on()


def serves(parameters: Tensors) -> bool:
    """Whether `Rows` steps these: the operators read memory in one order."""
    return all(p.device.type == "cpu" and p.dtype == torch.float32 and dense(p, len(p)) for p in parameters)


class Rows:
    """A stack of trials: `step(gradients, rows, live)` as in `optim.stacked`; `gathered` gradients are those of `sums`.

    `moments`: one list of tensors (SGD) or two (Adam) beside `parameters`, all [R, ...]. Those of small tensors are
    replaced in these lists by views of the rows in which they live from now on.
    """

    def __init__(self, parameters: list[Tensor], kinds: Sequence[int], moments: list[list[Tensor]]) -> None:
        self.is_adam = len(moments) == 2
        self.count = torch.zeros((), dtype=torch.float64)
        self.gathered: list[list[Any]] = []  # of each kind, what `gather` gave
        self.kinds = [
            (kind, _Kind(parameters, [i for i, k in enumerate(kinds) if k == kind], moments)) for kind in set(kinds)
        ]

    def reside(self) -> None:
        """Of one trial: its small parameters live in their row from now on, and gradients lack the trial axis."""
        self.kinds = [(kind, places.reside()) for kind, places in self.kinds]

    def sums(self, gradients: Tensors) -> Tensor:
        """The sum of each trial's gradients, [R], which are gathered for the next `step`."""
        self.gathered = [places.gather(gradients) for _, places in self.kinds]
        return torch.stack([s for _, places in self.kinds for s in places.sums()]).sum(0)

    def step(self, gradients: Tensors, rows: Tensor, live: Tensor, gathered: bool = False) -> None:
        if not gathered:
            self.gathered = [places.gather(gradients) for _, places in self.kinds]
        alive = [r for r, lives in enumerate(live.tolist()) if lives]
        for (kind, places), tensors in zip(self.kinds, self.gathered, strict=True):
            named = _arguments(rows[kind].double().numpy(), self.is_adam)
            for r in alive:
                if self.is_adam:
                    self.count.fill_(named[r].pop("count"))
                    adam(tensors[r], [self.count] * len(tensors[r][0]), **named[r])
                else:
                    sgd(tensors[r], **named[r])
            places.scatter()
        self.gathered = []  # large gradients are freed with the next step's


class _Kind:
    """The tensors of a stack that share rows of coefficients: the small ones gathered, the large ones in place."""

    def __init__(self, parameters: Tensors, chosen: list[int], moments: list[Tensors], limit: int = GATHERED) -> None:
        trials = len(parameters[0])
        sizes = [p.numel() // trials for p in parameters]
        self.small = [i for i in chosen if sizes[i] < limit]
        self.large = [i for i in chosen if sizes[i] >= limit]
        self.parameters, self.moments = parameters, moments
        padded = [ceil_div(sizes[i], ALIGN) * ALIGN for i in self.small]
        rows = [torch.zeros(trials, sum(padded)) for _ in range(2 + len(moments))]
        self.weights, self.gradients, *views = (
            [
                part.as_strided(parameters[i].shape, (part.stride(0), *parameters[i].stride()[1:]))
                for i, part in zip(self.small, f.split(padded, 1) if padded else [], strict=True)
            ]
            for f in rows
        )
        for given, view in zip(moments, views, strict=True):
            for i, v in zip(self.small, view, strict=True):
                given[i] = v.copy_(given[i])
        # Per trial, one list each for parameters, gradients and moments: what stays where it is from step to step.
        self.row = [[[one[r]] if self.small else [] for one in rows] for r in range(trials)]
        for r in range(trials):
            for part, m in zip(self.row[r][2:], moments, strict=True):
                part.extend(flat(m[i])[r] for i in self.large)
        self.places: list[int] = []  # addresses of the large parameters
        self.parts: list[tuple[Tensor, ...]] = []  # of each trial, there
        self.resident = False
        self.row_of_gradients = rows[1]
        self.flat_gradients: list[Tensor] = []  # of the large parameters, [R, n]

    @torch.no_grad()
    def reside(self) -> _Kind:
        """One in whose row the small parameters live."""
        other = _Kind(self.parameters, self.small + self.large, self.moments, RESIDENT)
        for i, view in zip(other.small, other.weights, strict=True):
            self.parameters[i].data = view.copy_(self.parameters[i])
        other.gradients, other.resident = [view[0] for view in other.gradients], True
        return other

    def sums(self) -> Tensors:
        """Of the gradients last gathered, over the row and over each large one: [R] each."""
        return [g.sum(1) for g in [self.row_of_gradients] * bool(self.small) + self.flat_gradients]

    def gather(self, gradients: Tensors) -> list[Any]:
        """Per trial the lists of parameters, gradients and moments, now with this step's gradients."""
        if self.small:
            if not self.resident:
                torch._foreach_copy_(self.weights, [self.parameters[i] for i in self.small])
            torch._foreach_copy_(self.gradients, [gradients[i] for i in self.small])
        if not self.large:
            return [tuple(lists) for lists in self.row]
        large = [self.parameters[i] for i in self.large]
        places = [p.data_ptr() for p in large]
        if places != self.places:
            assert all(dense(p, len(p)) for p in large)
            self.places, self.parts = places, list(zip(*[flat(p).unbind(0) for p in large], strict=True))
        whole = [gradients[i][None] if self.resident else gradients[i] for i in self.large]
        self.flat_gradients = [flat(alike(g, p)) for g, p in zip(whole, large, strict=True)]
        of_gradients = zip(*[g.unbind(0) for g in self.flat_gradients], strict=True)
        return [
            ([*mine[0], *w], [*mine[1], *g], *mine[2:])
            for mine, w, g in zip(self.row, self.parts, of_gradients, strict=True)
        ]

    def scatter(self) -> None:
        """Copy what was gathered back into the parameters."""
        if self.small and not self.resident:
            torch._foreach_copy_([self.parameters[i] for i in self.small], self.weights)


def _arguments(rows: np.ndarray, is_adam: bool) -> list[dict[str, Any]]:
    """The operators' arguments of every trial, by name, from rows [COLUMNS, R]; they correct for bias by themselves."""
    found = []
    for row in rows.T.tolist():
        if row[L2] and row[DECAY]:
            raise ValueError("a trial decays its weights or penalises them, not both")
        named = {"lr": row[LR], "l2": row[L2], "decay": row[DECAY]}
        if is_adam:
            named |= {"count": row[COUNT], "beta1": row[BETA1], "beta2": row[BETA2], "eps": row[EPS]}
        else:
            named["momentum"] = row[BETA1]
        found.append(named)
    return found
