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
    """`live`: bool [R], which trials still train; `died`: int64 [R], the step that killed a trial, from 0, or -1;
    `total`: float64 [R], training loss summed over the examples of an epoch; `number`: int64, the step's number.
    """

    def __init__(
        self,
        model: Model | Lanes,
        optimizer: Stacked | Unstacked,
        live: Tensor,
        autocast: torch.autocast,
        half: bool,
        multiplier: Tensor | None = None,
    ) -> None:
        """`half`: the loss is scaled, as float16 needs. `multiplier` [R]: what each trial's loss is multiplied by."""
        self.multiplier = multiplier
        self.model, self.optimizer, self.autocast = model, optimizer, autocast
        trials, device = len(live), live.device
        self.live = live
        self.died = torch.full((trials,), -1, device=device)
        self.total = torch.zeros(trials, dtype=torch.float64, device=device)
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self.scale = LossScale(trials, device) if half else None
        self.slow: Slow | None = None
        self.diagnostics: Diagnostics | None = None  # told of every step's coefficients, where set

    def begin(self, number: int) -> None:
        """A new epoch, whose first step has this number."""
        self.total.zero_()
        self.number.fill_(number)

    def __call__(self, batch: Batch, rows: Tensor, clock: Tensor | None = None) -> None:
        """`rows`: coefficients of this step, or of many, of which `clock` says the one (see `optim.cuda.launch`)."""
        x, y, noise = batch
        for p in self.optimizer.sources:
            p.grad = None
        with self.autocast:
            logits = self.model(x, noise)
        loss = losses(logits, y).mean(1)
        alone = self.optimizer if isinstance(self.optimizer, Unstacked) else None
        if alone is not None:
            alone.prepare(rows, self.live & torch.isfinite(loss.detach()))
        wanted = loss if self.multiplier is None else loss * self.multiplier
        # A sum over trials keeps their gradients apart.
        (wanted if self.scale is None else wanted * self.scale.value).sum().backward()
        if isinstance(self.model, Lanes):
            self.model.gather()
        loss = loss.detach()
        finite = self.optimizer.finite()
        if self.diagnostics is not None:
            self.diagnostics.before(rows)
        if self.scale is None:
            self.freeze(torch.isfinite(loss) & finite)
            self.optimizer.step(rows, self.live, clock=clock)
        else:
            self.freeze(torch.isfinite(loss) & (finite | ~self.scale.exhausted()))
            self.optimizer.step(rows, self.live & finite, self.scale.inverse(), clock)
            self.scale.update(finite)
        self.total.add_(loss, alpha=y.shape[1])
        self.number += 1
        if self.slow is not None:
            self.slow.step(self.number, self.live)

    def freeze(self, healthy: Tensor, before: int = 0) -> None:
        """Stop the trials that are not `healthy`, since the step `before` this one; they keep their bits from here."""
        if self.optimizer.launch is None and healthy.device.type == "cpu" and bool(healthy.all()):
            return  # as in nearly every step; a look would wait for a GPU
        dying = self.live & ~healthy
        self.died.copy_(torch.where(dying, self.number - before, self.died))
        self.live.logical_and_(healthy)
