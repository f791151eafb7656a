"""One training step of a stack: `Step(...)`, then call it with a batch and the step's coefficients.

Everything happens in place, on tensors that stay where they are, and nothing waits for the device: so a CUDA graph
can record a step (`runner.training.graph`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from optim.slow import Slow
from optim.stacked import Stacked
from runner.models.build import Model
from runner.models.lanes import Lanes
from runner.training.diagnostics import Diagnostics
from runner.training.evaluate import losses
from runner.training.feed import Batch
from runner.training.precision import LossScale
from runner.training.unstacked import Unstacked


class Step:
    """One step of all trials: forward, backward, finite checks, optimizer.

    Args:
        model: the network, [R, ...] in and out.
        optimizer: over its parameters.
        live: bool [R], which trials still train; changed in place when one diverges.
        autocast: the context of the forward pass.
        half: whether the loss is scaled, as float16 needs.
        multiplier: [R], what each trial's loss is multiplied by; None: 1.
        clip: [R], the most that the norm of a trial's gradients may be, inf for no limit; None: none has one.
        smoothing: of the labels, see `runner.training.evaluate.losses`.
    """

    def __init__(
        self,
        model: Model | Lanes,
        optimizer: Stacked | Unstacked,
        live: Tensor,
        autocast: torch.autocast,
        half: bool,
        multiplier: Tensor | None = None,
        clip: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> None:
        self.multiplier, self.clip, self.smoothing = multiplier, clip, smoothing
        self.model, self.optimizer, self.autocast = model, optimizer, autocast
        trials, device = len(live), live.device
        self.live = live
        self.died = torch.full((trials,), -1, device=device)  # the step at which each trial diverged, from 0; -1: none
        self.total = torch.zeros(trials, dtype=torch.float64, device=device)  # loss summed over the epoch's examples
        self.number = torch.zeros((), dtype=torch.int64, device=device)  # of the step, from 0 over all epochs
        self.scale = LossScale(trials, device) if half else None
        self.slow: Slow | None = None  # Lookahead's slow weights, where a trial has them
        self.diagnostics: Diagnostics | None = None  # called before every optimizer step, where set

    def begin(self, number: int) -> None:
        """A new epoch, whose first step has this number."""
        self.total.zero_()
        self.number.fill_(number)

    def __call__(self, batch: Batch, rows: Tensor, clock: Tensor | None = None) -> None:
        """Take the step: `batch` as `Feed.batch` gives it, `rows` its coefficients, [2, COLUMNS, R].

        With `clock`, int32 [1], `rows` are those of many steps, and the clock says which (see `optim.cuda.launch`).
        """
        x, y, noise = batch
        for p in self.optimizer.sources:
            p.grad = None
        with self.autocast:
            logits = self.model(x, noise)
        loss = losses(logits, y, self.smoothing).mean(1)
        if isinstance(self.optimizer, Unstacked):  # LOMO moves weights in the backward pass, and needs its rate before
            self.optimizer.prepare(rows, self.live & torch.isfinite(loss.detach()))
        wanted = loss if self.multiplier is None else loss * self.multiplier
        # No trial's loss depends on another's weights, so the gradient of the sum is that of each trial's own loss.
        (wanted if self.scale is None else wanted * self.scale.value).sum().backward()
        if isinstance(self.model, Lanes):
            self.model.gather()
        loss = loss.detach()
        finite = self.optimizer.finite()
        if self.diagnostics is not None:
            self.diagnostics.before(rows)
        if self.scale is None:
            self.freeze(torch.isfinite(loss) & finite)
            self.optimizer.step(rows, self.live, self._scale(None), clock)
        else:
            # A gradient that overflows skips the step and lowers the scale. It ends the trial only at the lowest scale.
            self.freeze(torch.isfinite(loss) & (finite | ~self.scale.exhausted()))
            self.optimizer.step(rows, self.live & finite, self._scale(self.scale.inverse()), clock)
            self.scale.update(finite)
        self.total.add_(loss, alpha=y.shape[1])
        self.number += 1
        if self.slow is not None:
            self.slow.step(self.number, self.live)

    def _scale(self, inverse: Tensor | None) -> Tensor | None:
        """What each trial's gradients are multiplied by, [R]: `inverse` of the loss's scale, and what clips them.

        As `torch.nn.utils.clip_grad_norm_` does, whose norm is of the gradients without that scale.
        """
        if self.clip is None or isinstance(self.optimizer, Unstacked):
            return inverse
        norms = self.optimizer.gradient_norms()
        norms = norms if inverse is None else norms * inverse
        clipped = (self.clip / (norms + 1e-6)).clamp(max=1).to(self.optimizer.parameters[0].dtype)
        return clipped if inverse is None else inverse * clipped

    def freeze(self, healthy: Tensor, before: int = 0) -> None:
        """Stop the live trials that are not `healthy`, bool [R]: from now on they keep their weights to the bit.

        `before`: how many steps before the present one they diverged.
        """
        if self.optimizer.launch is None and healthy.device.type == "cpu" and bool(healthy.all()):
            return  # as in nearly every step; on a GPU asking would make the host wait
        dying = self.live & ~healthy
        self.died.copy_(torch.where(dying, self.number - before, self.died))
        self.live.logical_and_(healthy)
