"""One optimizer step for a whole stack: parameters [R, ...], each trial with its own rule and schedule.

`Stacked(parameters, family, weights)` then, each step, `step(rows, live)` with rows of `table(rules, eta)`. Adam and
AdamW differ in two coefficients only, so they share a stack; so do SGD and SGDW. `optim.reference` holds the same
updates in the paper's symbols, one trial at a time. float32 stacks take the fast ways: `optim.cuda.launch` on CUDA,
`optim.cpu` on the CPU; what is written out here is the way of everything else, in any precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim import cpu
from optim.cuda.layout import dense, flat
from optim.rules import BETA1, BETA2, BIAS2, COLUMNS, EPS, KEEP, L2, RATE1, RATE2, STEP, Rule, coefficients

SMALL = 2**18  # numbers that a CPU's cache holds


class Stacked:
    """Moments of a stack and the step that updates its parameters in place.

    `weights[i]` says whether parameter i is a weight or a norm's scale or bias (see `optim.rules`).

    The weights are first multiplied by 1 - decay, as in torch.optim; that is exact with the rows of
    `optim.release.released_rows`, and has torch's float32 errors with others.
    """

    def __init__(self, parameters: Sequence[Tensor], family: str, weights: Sequence[bool]) -> None:
        if family not in ("adam", "sgd"):
            raise ValueError(f"family {family!r}: must be adam or sgd")
        self.parameters, self.family = list(parameters), family
        self.kinds = [0 if weight else 1 for weight in weights]
        self.moments1 = [torch.zeros_like(p) for p in self.parameters]
        self.moments2 = [torch.zeros_like(p) for p in self.parameters] if family == "adam" else []
        self.sources = self.parameters  # whose gradients are read
        self._rows: cpu.Rows | None = None
        self._summed = False  # whether `finite` has looked at the gradients of the step to come
        self.launch: Any = None
        moments = [self.moments1, self.moments2] if family == "adam" else [self.moments1]
        if cpu.serves(self.parameters):
            self._rows = cpu.Rows(self.parameters, self.kinds, moments)
        elif all(p.is_cuda and p.dtype == torch.float32 for p in self.parameters):
            from optim.cuda.launch import Launch

            trials = len(self.parameters[0])
            try:
                self.launch = Launch(self.parameters, self.moments1, self.moments2, self.kinds, trials, family)
            except ImportError as error:  # no Triton on this platform: slower, and as right
                warnings.warn(f"{error}; until then a slower one is used", stacklevel=2)

    def read(self, sources: Callable[[], Sequence[Tensor]]) -> None:
        """Of one trial: take the gradients of `sources()`, which are the parameters without the trial axis.

        They are asked for once small parameters have moved to the memory in which they are stepped.
        """
        if self._rows is not None:
            self._rows.reside()
        self.sources = list(sources())

    @torch.no_grad()
    def finite(self) -> Tensor:
        """Which trials' gradients hold neither inf nor nan: bool [R]. They must not change until `step`."""
        if self._rows is None or self.launch is not None:
            return _finite(self._whole())
        # Inf and nan show in a sum; that of finite numbers may overflow, and only then each is looked at.
        finite = torch.isfinite(self._rows.sums([_gradient(p) for p in self.sources]))
        self._summed = True
        return finite if bool(finite.all()) else _finite(self._whole())

    def _whole(self) -> list[Tensor]:
        """Gradients [R, ...]."""
        found = [_gradient(p) for p in self.sources]
        return found if self.sources is self.parameters else [g[None] for g in found]

    @torch.no_grad()
    def step(self, rows: Tensor, live: Tensor, scale: Tensor | None = None, clock: Tensor | None = None) -> None:
        """Update from `.grad`. rows: [2, COLUMNS, R], float64 or the parameters' dtype; live: bool [R].

        A trial that is not live keeps its parameters to the bit, whatever its gradients hold. `scale` [R] multiplies
        each trial's gradients. With `clock` `rows` is a table of steps, on CUDA only: see `optim.cuda.launch`.
        """
        trials = len(self.parameters[0])
        if rows.shape[-3:] != (2, COLUMNS, trials) or live.shape != (trials,):
            raise ValueError(
                f"rows {tuple(rows.shape)} and live {tuple(live.shape)}: must end in (2, {COLUMNS}, {trials}) and be "
                f"({trials},) for a stack of {trials}"
            )
        torch._C._increment_version(self.sources)  # a backward pass through older values then raises
        summed, self._summed = self._summed and scale is None, False
        if summed and self._rows is not None:
            self._rows.step([], rows, live, gathered=True)
            return
        gradients = self._whole()
        if self.launch is not None:
            device = self.parameters[0].device
            self.launch.step(gradients, rows.to(device, torch.float32), live, scale, clock)
            return
        if clock is not None:
            raise ValueError("a clock is for float32 parameters on CUDA, with Triton")
        if scale is not None:
            gradients = [g * _over_trials(scale, g) for g in gradients]
        if self._rows is not None:
            self._rows.step(gradients if self.sources is self.parameters else [g[0] for g in gradients], rows, live)
        else:
            self._step_plainly(gradients, rows.to(self.parameters[0].dtype), live)

    def _step_plainly(self, gradients: list[Tensor], rows: Tensor, live: Tensor) -> None:
        for index, (p, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            row = [_over_trials(column, p) for column in rows[self.kinds[index]]]
            if self.family == "adam":
                update = self._adam(p, gradient, self.moments1[index], self.moments2[index], row)
            else:
                update = self._sgd(p, gradient, self.moments1[index], row)
            p.copy_(torch.where(_over_trials(live, p), p * row[KEEP] - update, p))

    @staticmethod
    def _adam(p: Tensor, gradient: Tensor, m: Tensor, v: Tensor, row: list[Tensor]) -> Tensor:
        g = torch.addcmul(gradient, p, row[L2])
        m.mul_(row[BETA1]).addcmul_(g, row[RATE1])
        v.mul_(row[BETA2]).addcmul_(g.square_(), row[RATE2])
        return (m * row[STEP]).div_((v.sqrt().div_(row[BIAS2])).add_(row[EPS]))

    @staticmethod
    def _sgd(p: Tensor, gradient: Tensor, buffer: Tensor, row: list[Tensor]) -> Tensor:
        g = torch.addcmul(gradient, p, row[L2])
        buffer.mul_(row[BETA1]).add_(g)
        return buffer * row[STEP]

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"moments1": self.moments1, "moments2": self.moments2}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for mine, theirs in ((self.moments1, state["moments1"]), (self.moments2, state["moments2"])):
            for target, source in zip(mine, theirs, strict=True):
                target.copy_(source)


def table(rules: Sequence[Rule], eta: Sequence[float] | np.ndarray) -> Tensor:
    """Rows of every step of a run: float64 [steps, 2, COLUMNS, R], on the CPU.

    `eta`: the multipliers of the learning rates, [steps], or [R, steps] where every trial has a schedule of its own.
    """
    multipliers = np.broadcast_to(np.asarray(eta, dtype=np.float64), (len(rules), np.shape(eta)[-1]))
    steps = np.arange(multipliers.shape[-1]) + 1
    updates = np.full(len(steps), float(len(steps)))
    rows = [coefficients(rule, steps, one, updates) for rule, one in zip(rules, multipliers, strict=True)]
    return torch.from_numpy(np.stack(rows, -1))


def _gradient(p: Tensor) -> Tensor:
    assert p.grad is not None, "every parameter of a stack takes part in every step"
    return p.grad


def _over_trials(values: Tensor, like: Tensor) -> Tensor:
    """values [R], so shaped that they meet the trial axis of `like` [R, ...]."""
    return values.view((-1,) + (1,) * (like.dim() - 1))


@torch.no_grad()
def finite_gradients(parameters: Sequence[Tensor]) -> Tensor:
    """Which trials' gradients hold neither inf nor nan: bool [R]."""
    return _finite([p.grad for p in parameters if p.grad is not None])


def _finite(found: list[Tensor]) -> Tensor:
    if len(found[0]) == 1 and found[0].device.type == "cpu" and sum(g.numel() for g in found) <= SMALL:
        return finite_rows([g.flatten(1) for g in found], together=False)  # a look at how they lie costs more
    gradients = [flat(g) if dense(g, len(g)) else g.flatten(1) for g in found]
    return finite_rows(gradients, together=gradients[0].device.type != "cpu")


def finite_rows(tensors: Sequence[Tensor], together: bool) -> Tensor:
    """Which rows of tensors [R, n], for any n, hold neither inf nor nan in any of them: bool [R].

    `together`: through a copy of all of them, as a GPU has sooner made than launched a kernel for each. On a CPU two
    vectorised passes take a tenth of the time of a maximum norm, which is not vectorised there; and of small tensors a
    call for each would cost more than a copy.
    """
    if not together and sum(part.numel() for part in tensors) <= SMALL:
        # Zero times what is finite is 0, and nan times anything else: no sum of these can overflow.
        return torch.isfinite(torch.cat(list(tensors), 1).mul_(0).sum(1))
    if together:
        largest = [torch.linalg.vector_norm(torch.cat(list(tensors), 1), ord=float("inf"), dim=1)]
    else:
        largest = [part.abs().amax(1) for part in tensors]
    return torch.isfinite(torch.stack(largest)).all(0)
