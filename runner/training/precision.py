"""Arithmetic of the forward pass: `autocast(precision, device)`, and for float16 `LossScale(trials, device)`."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

START, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000  # the defaults of torch.amp.GradScaler
LEAST = 2.0**-14  # a gradient that overflows even at this scale is not finite for another reason


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a model of this precision runs; parameters and moments stay float32.

    `precision`: "fp32" (no casts), "bf16" or "fp16"; `device`: of the model.
    """
    # Each weight is cast once per pass, so autocast's cache never hits, and it would keep tensors outside the graph's
    # pool.
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32", cache_enabled=False)


class LossScale:
    """Loss scaling for float16, one scale for each of R = `trials`: `value`, float32 [R], multiplies each loss.

    As torch.amp.GradScaler, but an overflow in one trial makes that trial skip the step and nobody else. The schedule
    goes on through skipped steps. All lies on `device`, and is changed in place, without waiting for a GPU.
    """

    def __init__(self, trials: int, device: torch.device) -> None:
        self.value = torch.full((trials,), START, device=device)
        self.good = torch.zeros(trials, dtype=torch.int32, device=device)  # steps since the scale last changed

    def inverse(self) -> Tensor:
        """What the gradients are to be multiplied by, float32 [R]: exact, for scales are powers of two."""
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
