"""Loss scaling for float16, one scale for each trial: `LossScale(trials, device)`.

As torch.amp.GradScaler does it, but an overflow in one trial makes that trial skip the step and nobody else. The
schedule goes on through skipped steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

START, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000  # torch's defaults
LEAST = 2.0**-14  # a gradient that overflows at this scale is not finite for want of scaling


class LossScale:
    """`value`: float32 [R], what each trial's loss is multiplied by; changed in place, without waiting for a GPU."""

    def __init__(self, trials: int, device: torch.device) -> None:
        self.value = torch.full((trials,), START, device=device)
        self.good = torch.zeros(trials, dtype=torch.int32, device=device)  # steps since the scale last changed

    def inverse(self) -> Tensor:
        """By what the gradients are to be multiplied: exact, for scales are powers of two."""
        return self.value.reciprocal()

    def exhausted(self) -> Tensor:
        """bool [R]: the scale cannot go lower."""
        return self.value <= LEAST

    def update(self, finite: Tensor) -> None:
        """After a step whose scaled gradients were `finite`, bool [R]."""
        self.good.copy_(torch.where(finite, self.good + 1, 0))
        grown = self.good >= INTERVAL
        scale = torch.where(finite, self.value, self.value * BACKOFF)
        self.value.copy_(torch.where(grown, scale * GROWTH, scale))
        self.good.masked_fill_(grown, 0)
