"""One optimizer step for a whole stack: parameters [R, ...], each trial with its own rule and schedule.

`Stacked(parameters, family, weights)` then, each step, `step(rows, live)` with rows of `table(rules, eta)`. Adam and
AdamW differ in two coefficients only, so they share a stack; so do SGD and SGDW. `optim.reference` holds the same
updates in the paper's symbols, one trial at a time.

There are three ways to the same step. float32 stacks take a fast one: `optim.cuda.launch` on CUDA with Triton,
`optim.cpu_rows` on the CPU. Everything else, in any precision, takes the plain one that is written out here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim import cpu_rows
from optim.cuda.layout import dense, flat
from optim.rules import BETA1, BETA2, BIAS2, COLUMNS, EPS, KEEP, L2, RATE1, RATE2, STEP, Rule, coefficients

SMALL = 2**18  # numbers that a CPU's cache holds


class Stacked:
    """Moments of a stack and the step that updates its parameters in place.

    A step multiplies the weights by 1 - decay first, as torch.optim does. That is exact with the rows of
    `optim.release.released_rows`, and has torch's float32 errors with others. Memory: 8 bytes for each float32 number
    of the stack with "adam", 4 with "sgd".

    Args:
        parameters: [R, ...] each, R trials; leaves of one device and dtype whose `.grad` a step reads.
        family: "adam" for adam and adamw, "sgd" for sgd and sgdw (`optim.rules.FAMILIES`).
        weights: for each parameter whether it is a weight, True, or a norm's scale or a bias, which get the other row
            of coefficients.

    Raises:
        ValueError: for another family.
    """

    def __init__(self, parameters: Sequence[Tensor], family: str, weights: Sequence[bool]) -> None:
        if family not in ("adam", "sgd"):
            raise ValueError(f"family {family!r}: must be adam or sgd")
        self.parameters, self.family = list(parameters), family
        self.kinds = [0 if weight else 1 for weight in weights]
        self.moments1 = [torch.zeros_like(p) for p in self.parameters]
        self.moments2 = [torch.zeros_like(p) for p in self.parameters] if family == "adam" else []
        self.sources = self.parameters  # the tensors whose `.grad` is read; see `read`
        self._rows: cpu_rows.Rows | None = None  # the CPU's fast way, where it serves these parameters
        self._summed = False  # whether `finite` has gathered the gradients of the step to come
        self.launch: Any = None  # CUDA's fast way
        moments = [self.moments1, self.moments2] if family == "adam" else [self.moments1]
        if cpu_rows.serves(self.parameters):
            self._rows = cpu_rows.Rows(self.parameters, self.kinds, moments)
        elif all(p.is_cuda and p.dtype == torch.float32 for p in self.parameters):
            from optim.cuda.launch import Launch

            trials = len(self.parameters[0])
            try:
                self.launch = Launch(self.parameters, self.moments1, self.moments2, self.kinds, trials, family)
            except ImportError as error:  # without Triton the plain way takes the same step, slower
                warnings.warn(f"{error}; until then a slower one is used", stacklevel=2)

    def read(self, sources: Callable[[], Sequence[Tensor]]) -> None:
        """For one trial: read the gradients of `sources()`, which are the parameters without the trial axis, [...].

        `sources` is called after the small parameters have moved to the memory in which they are stepped.
        """
        if self._rows is not None:
            self._rows.reside()
        self.sources = list(sources())

    @torch.no_grad()
    def finite(self) -> Tensor:
        """Which trials' gradients hold neither inf nor nan: bool [R]. They must not change until `step`."""
        if self._rows is None or self.launch is not None:
            return _finite(self._whole())
        # An inf or a nan shows in the sum. The sum of finite numbers may overflow too, so where it is not finite every
        # number is looked at.
        finite = torch.isfinite(self._rows.sums([gradient_of(p) for p in self.sources]))
        self._summed = True
        return finite if bool(finite.all()) else _finite(self._whole())

    @torch.no_grad()
    def gradient_norms(self) -> Tensor:
        """The Euclidean norm of all gradients of each trial together: float64 [R]."""
        total = torch.zeros(len(self.parameters[0]), dtype=torch.float64, device=self.parameters[0].device)
        for gradient in self._whole():  # one after the other, as a sum over all would be rounded by the width
            total += gradient.reshape(len(gradient), -1).double().square().sum(1)
        return total.sqrt()

    def _whole(self) -> list[Tensor]:
        """The gradients of the step with the trial axis, [R, ...]."""
        gradients = [gradient_of(p) for p in self.sources]
        return gradients if self.sources is self.parameters else [g[None] for g in gradients]

    @torch.no_grad()
    def step(self, rows: Tensor, live: Tensor, scale: Tensor | None = None, clock: Tensor | None = None) -> None:
        """Update the parameters from `.grad`.

        Args:
            rows: the step's coefficients, [2, COLUMNS, R], float64 or the parameters' dtype.
            live: bool [R]; a trial that is not live keeps its parameters to the bit, whatever its gradients hold.
            scale: [R], multiplies each trial's gradients; None: 1.
            clock: int32 [1] on CUDA: `rows` is then a table [steps, 2, COLUMNS, R], and this says the step (see
                `optim.cuda.launch`).

        Raises:
            ValueError: for other shapes, or a clock where there is no kernel.
        """
        trials = len(self.parameters[0])
        if rows.shape[-3:] != (2, COLUMNS, trials) or live.shape != (trials,):
            raise ValueError(
                f"rows {tuple(rows.shape)} and live {tuple(live.shape)}: must end in (2, {COLUMNS}, {trials}) and be "
                f"({trials},) for a stack of {trials}"
            )
        torch._C._increment_version(self.sources)  # a backward pass that needs the values before this step then raises
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
            gradients = [g * over_trials(scale, g) for g in gradients]
        if self._rows is not None:
            self._rows.step(gradients if self.sources is self.parameters else [g[0] for g in gradients], rows, live)
        else:
            self._step_plainly(gradients, rows.to(self.parameters[0].dtype), live)

    def _step_plainly(self, gradients: list[Tensor], rows: Tensor, live: Tensor) -> None:
        """The plain way: gradients [R, ...], rows [2, COLUMNS, R] of the parameters' dtype."""
        for index, (p, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            row = [over_trials(column, p) for column in rows[self.kinds[index]]]
            if self.family == "adam":
                update = self._adam(p, gradient, self.moments1[index], self.moments2[index], row)
            else:
                update = self._sgd(p, gradient, self.moments1[index], row)
            p.copy_(torch.where(over_trials(live, p), p * row[KEEP] - update, p))

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
        """The moments themselves, not copies: [R, ...] each, and no "moments2" of SGD."""
        return {"moments1": self.moments1, "moments2": self.moments2}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Copy what `state_dict` returned, in `state`, into the moments; ValueError for another number of them."""
        for moments, saved in ((self.moments1, state["moments1"]), (self.moments2, state["moments2"])):
            for target, source in zip(moments, saved, strict=True):
                target.copy_(source)


def table(rules: Sequence[Rule], eta: Sequence[float] | np.ndarray) -> Tensor:
    """Rows of every step of a run: float64 [steps, 2, COLUMNS, R], on the CPU.

    Args:
        rules: of the R trials.
        eta: the multipliers of the learning rates, [steps], or [R, steps] where every trial has a schedule of its own.
    """
    multipliers = np.broadcast_to(np.asarray(eta, dtype=np.float64), (len(rules), np.shape(eta)[-1]))
    steps = np.arange(multipliers.shape[-1]) + 1
    updates = np.full(len(steps), float(len(steps)))
    rows = [coefficients(rule, steps, one, updates) for rule, one in zip(rules, multipliers, strict=True)]
    return torch.from_numpy(np.stack(rows, -1))


def gradient_of(p: Tensor) -> Tensor:
    """`p.grad`, which is there after a backward pass."""
    assert p.grad is not None, "every parameter of a stack takes part in every step"
    return p.grad


def over_trials(values: Tensor, like: Tensor) -> Tensor:
    """`values` [R] as [R, 1, ...], to be broadcast over `like` [R, ...]."""
    return values.view((-1,) + (1,) * (like.dim() - 1))


def _finite(gradients: list[Tensor]) -> Tensor:
    """Which trials' gradients, [R, ...] each, hold neither inf nor nan: bool [R]."""
    on_cpu = gradients[0].device.type == "cpu"
    if on_cpu and len(gradients[0]) == 1 and sum(g.numel() for g in gradients) <= SMALL:
        return finite_rows([g.reshape(len(g), -1) for g in gradients], together=False)  # faster than to ask for strides
    rows = [flat(g) if dense(g, len(g)) else g.reshape(len(g), -1) for g in gradients]  # a view in any order of memory
    return finite_rows(rows, together=not on_cpu)


def finite_rows(tensors: Sequence[Tensor], together: bool) -> Tensor:
    """Which rows of tensors [R, n], for any n, hold neither inf nor nan in any of them: bool [R].

    `together`: by one copy of all of them, which a GPU makes faster than it launches a kernel for each. On a CPU two
    vectorised passes, abs and amax, take a tenth of the time of a maximum norm, which is not vectorised there. Small
    tensors are copied there too, for a call for each takes longer.
    """
    if not together and sum(part.numel() for part in tensors) <= SMALL:
        # Zero times a finite number is 0, and zero times inf or nan is nan, so that these sums cannot overflow.
        return torch.isfinite(torch.cat(list(tensors), 1).mul_(0).sum(1))
    if together:
        largest = [torch.linalg.vector_norm(torch.cat(list(tensors), 1), ord=float("inf"), dim=1)]
    else:
        largest = [part.abs().amax(1) for part in tensors]
    return torch.isfinite(torch.stack(largest)).all(0)
