"""What is followed over the epochs of a stack: `Watch`; and `advice` about a trial that diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.trials.trial import Trial


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


def advice(trial: Trial, step: int) -> str:
    """When it diverged, and what may help: early on a warm-up, if it had none and has epochs for one."""
    warm = trial.schedule.warmup_steps or trial.schedule.warmup_epochs
    early = step < trial.per_epoch * max(1, 0.1 * trial.epochs) and not warm and trial.epochs > 1
    help = "a warm-up (schedule.warmup_epochs=1) or a smaller lr" if early else "a smaller lr or wd"
    return f"diverged in epoch {step // trial.per_epoch + 1}: {help} may help"
