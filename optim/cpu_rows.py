"""The step of a whole stack on the CPU: `Rows(parameters, kinds, moments)`, then its `step`.

torch's fused operators (`optim.cpu`) take one rate for all tensors of a call, so a stack is one call for each live
trial. A call takes about a microsecond for each tensor besides the arithmetic. Tensors of fewer than `GATHERED`
elements a trial are therefore copied into one row per trial, stepped as one tensor and copied back; larger ones are
stepped where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.arithmetic import ceil_div
from optim.cpu import Tensors, adam, sgd
from optim.cuda.layout import alike, dense, flat
from optim.rules import BETA1, BETA2, COUNT, DECAY, EPS, L2, LR

GATHERED = 4096  # measured with 16 and 64 trials on 1 and 2 threads: 1024 is up to 15 % slower, no limit 35 %
RESIDENT = 2**16  # the same limit where the parameters live in the row, and only their gradients are copied
# Elements that a tensor's part of a row is rounded up to. Vector instructions then never span two tensors, so that a
# tensor's neighbours in the row do not change its rounding.
ALIGN = 32


def serves(parameters: Tensors) -> bool:
    """Whether `Rows` steps these `parameters`: float32 on the CPU, each trial's elements without a gap in memory."""
    return all(p.device.type == "cpu" and p.dtype == torch.float32 and dense(p, len(p)) for p in parameters)


class Rows:
    """A stack of trials on the CPU: `step(gradients, rows, live)`, as in `optim.stacked`.

    Args:
        parameters: [R, ...] each, as `serves` wants them.
        kinds: for each which row of coefficients it takes, 0 or 1.
        moments: one list of tensors (SGD) or two (Adam), like the parameters. Those of small tensors are replaced in
            these lists by views of the rows in which they live from now on.
    """

    def __init__(self, parameters: list[Tensor], kinds: Sequence[int], moments: list[list[Tensor]]) -> None:
        self.is_adam = len(moments) == 2
        self.count = torch.zeros((), dtype=torch.float64)  # the operators take the step count as a tensor
        self.gathered: list[list[Any]] = []  # what `_Kind.gather` gave for each kind
        self.kinds = [
            (kind, _Kind(parameters, [i for i, k in enumerate(kinds) if k == kind], moments)) for kind in set(kinds)
        ]

    def reside(self) -> None:
        """For one trial: its small parameters live in their row from now on, and gradients lack the trial axis."""
        self.kinds = [(kind, places.reside()) for kind, places in self.kinds]

    def sums(self, gradients: Tensors) -> Tensor:
        """The sum of each trial's gradients, [R]; they stay gathered for the next `step`."""
        self.gathered = [places.gather(gradients) for _, places in self.kinds]
        return torch.stack([s for _, places in self.kinds for s in places.sums()]).sum(0)

    def step(self, gradients: Tensors, rows: Tensor, live: Tensor, gathered: bool = False) -> None:
        """Step the live trials; `rows` [2, COLUMNS, R], `live` bool [R]. `gathered`: take the gradients of `sums`."""
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
        self.gathered = []  # or large gradients would stay in memory through the next backward pass


class _Kind:
    """The tensors of a stack that take one row of coefficients: the small ones gathered, the large ones in place.

    `chosen`: their indices in `parameters`. A row holds all small tensors of a trial, side by side. There are R rows
    for the weights, as many for the gradients, and as many for each list of moments.
    """

    def __init__(self, parameters: Tensors, chosen: list[int], moments: list[Tensors], limit: int = GATHERED) -> None:
        trials = len(parameters[0])
        sizes = [p.numel() // trials for p in parameters]
        self.small = [i for i in chosen if sizes[i] < limit]
        self.large = [i for i in chosen if sizes[i] >= limit]
        self.parameters, self.moments = parameters, moments
        padded = [ceil_div(sizes[i], ALIGN) * ALIGN for i in self.small]
        rows = [torch.zeros(trials, sum(padded)) for _ in range(2 + len(moments))]
        # Views [R, ...] of the rows, in the shape and order of memory of each small parameter.
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
        # For each trial the operators' lists of parameters, gradients and moments, as far as they stay the same from
        # step to step: the rows, and the moments of the large tensors.
        self.row = [[[one[r]] if self.small else [] for one in rows] for r in range(trials)]
        for r in range(trials):
            for part, m in zip(self.row[r][2:], moments, strict=True):
                part.extend(flat(m[i])[r] for i in self.large)
        self.addresses: list[int] = []  # of the large parameters, when `parts` was made
        self.parts: list[tuple[Tensor, ...]] = []  # for each trial flat views of its large parameters
        self.resident = False  # whether the small parameters live in their row
        self.row_of_gradients = rows[1]
        self.flat_gradients: list[Tensor] = []  # of the large parameters, [R, n]

    @torch.no_grad()
    def reside(self) -> _Kind:
        """The same tensors again, with the small parameters moved into the row."""
        other = _Kind(self.parameters, self.small + self.large, self.moments, RESIDENT)
        for i, view in zip(other.small, other.weights, strict=True):
            self.parameters[i].data = view.copy_(self.parameters[i])
        other.gradients, other.resident = [view[0] for view in other.gradients], True
        return other

    def sums(self) -> Tensors:
        """Sums [R] of the gradients last gathered: one for the rows, and one for each large tensor."""
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
        addresses = [p.data_ptr() for p in large]
        if addresses != self.addresses:  # somebody has given a parameter other memory
            assert all(dense(p, len(p)) for p in large)
            self.addresses, self.parts = addresses, list(zip(*[flat(p).unbind(0) for p in large], strict=True))
        whole = [gradients[i][None] if self.resident else gradients[i] for i in self.large]
        self.flat_gradients = [flat(alike(g, p)) for g, p in zip(whole, large, strict=True)]
        of_gradients = zip(*[g.unbind(0) for g in self.flat_gradients], strict=True)
        return [
            ([*lists[0], *weights], [*lists[1], *gradients], *lists[2:])
            for lists, weights, gradients in zip(self.row, self.parts, of_gradients, strict=True)
        ]

    def scatter(self) -> None:
        """Copy the small weights from their rows back into the parameters."""
        if self.small and not self.resident:
            torch._foreach_copy_([self.parameters[i] for i in self.small], self.weights)


def _arguments(rows: np.ndarray, is_adam: bool) -> list[dict[str, Any]]:
    """The operators' arguments for every trial, by name, from rows [COLUMNS, R].

    The operators correct for bias by themselves, from the count of steps.
    """
    of_trials = []
    for row in rows.T.tolist():
        if row[L2] and row[DECAY]:
            raise ValueError("a trial decays its weights or penalises them, not both")
        named = {"lr": row[LR], "l2": row[L2], "decay": row[DECAY]}
        if is_adam:
            named |= {"count": row[COUNT], "beta1": row[BETA1], "beta2": row[BETA2], "eps": row[EPS]}
        else:
            named["momentum"] = row[BETA1]
        of_trials.append(named)
    return of_trials
