"""One optimizer step for a whole stack: parameters [R, ...], each trial with its own rule and schedule.

`Stacked(parameters, family, weights)` then, each step, `step(rows, live)`. Adam and AdamW differ in two
coefficients only, so they share a stack; so do SGD and SGDW. `optim.reference` holds the same updates in the
paper's symbols, one trial at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optim.rules import BETA1, BETA2, BIAS2, DECAY, EPS, KEEP, L2, RATE1, RATE2, STEP


class Stacked:
    """Moments of a stack and the step that updates its parameters in place.

    `weights[i]` says whether parameter i is a weight or a norm's scale or bias (see `optim.rules`).

    `form` is where decoupled decay is rounded. "joint": decay and gradient step are added before one
    subtraction, so that a decay below half an ulp of the weight is not lost beside the step. "torch": the
    weights are first multiplied by 1 - decay, as in torch.optim, whose float32 errors it then shares.
    """

    def __init__(self, parameters: Sequence[Tensor], family: str, weights: Sequence[bool], form: str = "joint") -> None:
        if family not in ("adam", "sgd"):
            raise ValueError(f"family {family!r}: must be adam or sgd")
        if form not in ("joint", "torch"):
            raise ValueError(f"form {form!r}: must be joint or torch")
        self.parameters, self.family, self.form = list(parameters), family, form
        self.kinds = [0 if weight else 1 for weight in weights]
        self.moments1 = [torch.zeros_like(p) for p in self.parameters]
        self.moments2 = [torch.zeros_like(p) for p in self.parameters] if family == "adam" else []

    @torch.no_grad()
    def step(self, rows: Tensor, live: Tensor) -> None:
        """Update from `.grad`. rows: [2, COLUMNS, R] in the parameters' dtype; live: bool [R].

        A trial that is not live keeps its parameters to the bit, whatever its gradients hold.
        """
        for index, (p, kind) in enumerate(zip(self.parameters, self.kinds, strict=True)):
            assert p.grad is not None, "every parameter of a stack takes part in every step"
            shape = (-1,) + (1,) * (p.dim() - 1)
            row = [column.view(shape) for column in rows[kind]]
            if self.family == "adam":
                update = self._adam(p, p.grad, self.moments1[index], self.moments2[index], row)
            else:
                update = self._sgd(p, p.grad, self.moments1[index], row)
            after = p * row[KEEP] - update if self.form == "torch" else p - update.addcmul_(p, row[DECAY])
            p.copy_(torch.where(live.view(shape), after, p))

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


@torch.no_grad()
def finite_gradients(parameters: Sequence[Tensor]) -> Tensor:
    """Which trials' gradients hold neither inf nor nan: bool [R]."""
    gradients = [p.grad.flatten(1) for p in parameters if p.grad is not None]
    largest = [torch.linalg.vector_norm(g, ord=float("inf"), dim=1) for g in gradients]
    return torch.isfinite(torch.stack(largest)).all(0)
