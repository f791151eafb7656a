"""Learning-rate schedules as multipliers eta of the base rate, one per step; `multiplier` is the call to know.

Every schedule may begin with a linear warm-up, which multiplies it: eta(s) * min(1, (s + 1) / warm-up steps).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from runner.config.schedules import CosineSettings, OneCycleSettings, ScheduleSettings, StepSettings, cycles


@dataclass(frozen=True)
class Length:
    """How long a run is: `per_epoch` steps in each of `epochs` epochs."""

    epochs: int
    per_epoch: int

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * self.per_epoch


def multiplier(settings: ScheduleSettings, step: np.ndarray, length: Length) -> np.ndarray:
    """eta at each `step` (counted from 0), float64 of the same shape, in [0, 1].

    `settings`: of the schedule; `length`: of the whole run.
    """
    eta = _without_warmup(settings, step.astype(np.float64), length)
    warmup = settings.warmup_steps or settings.warmup_epochs * length.per_epoch
    return eta * np.minimum(1.0, (step + 1) / warmup) if warmup else eta


def _without_warmup(settings: ScheduleSettings, step: np.ndarray, length: Length) -> np.ndarray:
    match settings:
        case StepSettings():
            drops = np.array([math.ceil(d * length.steps - 1e-9) for d in settings.drops])
            return settings.factor ** (step[:, None] >= drops).sum(1)
        case CosineSettings():  # one cycle, or with restarts several
            place = np.array(cycles(settings, length.epochs), dtype=np.float64) * length.per_epoch
            current = place[np.searchsorted(place[:, 0], step, side="right") - 1]
            return settings.eta_min + (1 - settings.eta_min) * _fall((step - current[:, 0]) / current[:, 1])
        case OneCycleSettings():
            top, last = settings.rise * length.steps - 1, length.steps - 1
            low, end = 1 / settings.div, 1 / (settings.div * settings.final_div)
            up = low + (1 - low) * (1 - _fall(np.clip(step / max(top, 1e-9), 0, 1)))
            down = end + (1 - end) * _fall(np.clip((step - top) / max(last - top, 1e-9), 0, 1))
            return np.where(step <= top, up, down)
    return np.ones(len(step))


def _fall(x: np.ndarray) -> np.ndarray:
    """Half a cosine from 1 at x = 0 to 0 at x = 1."""
    return 0.5 * (1 + np.cos(np.pi * x))
