"""What is followed over the epochs of a stack: `Watch`."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Watch:
    """Follows each trial of a stack: best and target epochs."""

    def __init__(self, trials: int, target: float | None) -> None:
        self.target = target
        self.best = [math.inf] * trials
        self.best_epoch: list[int | None] = [None] * trials
        self.target_epoch: list[int | None] = [None] * trials

    def see(self, epoch: int, errors: Sequence[float]) -> None:
        for i, error in enumerate(errors):
            if error < self.best[i]:
                self.best[i], self.best_epoch[i] = error, epoch
            if self.target is not None and error <= self.target and self.target_epoch[i] is None:
                self.target_epoch[i] = epoch
