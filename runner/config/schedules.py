"""What can be set about a learning-rate schedule, and its restart cycles: `cycles(settings, epochs)`.

`runner.training.multiplier` makes numbers of it. Imports nothing that is slow, and so no numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from runner.errors import UserError
from runner.fields import check, right

_FROM_1 = right(lambda value: 1 <= value < math.inf, "1 or more")


@dataclass(frozen=True)
class ScheduleSettings:
    """`constant`, and what all have: a warm-up in steps or in epochs, not both."""

    name: str
    warmup_steps: int = field(default=0, metadata=right(lambda value: value >= 0, "0 or more"))
    warmup_epochs: float = field(default=0.0, metadata=right(lambda value: 0 <= value < math.inf, "0 or more"))

    def __post_init__(self) -> None:
        check(self, "schedule")
        if self.warmup_steps and self.warmup_epochs:
            raise UserError("schedule.warmup_steps and schedule.warmup_epochs are both set: give one of them")


@dataclass(frozen=True)
class StepSettings(ScheduleSettings):
    """Multiplied by `factor` at each fraction of the run in `drops`; the paper's are epochs 30, 60, 80 of 100."""

    drops: tuple[float, ...] = (0.3, 0.6, 0.8)
    factor: float = field(default=0.1, metadata=right(lambda value: 0 < value < 1, "between 0 and 1"))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "drops", tuple(self.drops))
        if not all(0 < d < 1 for d in self.drops) or list(self.drops) != sorted(set(self.drops)):
            raise UserError(f"schedule.drops={list(self.drops)}: must be rising fractions of the run between 0 and 1")


@dataclass(frozen=True)
class CosineSettings(ScheduleSettings):
    """eta_min + (1 - eta_min) (1 + cos(pi s / S)) / 2 over the S steps of the run (paper, eq. 14)."""

    eta_min: float = field(
        default=0.0, metadata=right(lambda value: 0 <= value < 1, "0 to below 1, a fraction of the base rate")
    )


@dataclass(frozen=True)
class RestartsSettings(CosineSettings):
    """Cosine with warm restarts (AdamWR, SGDWR): cycles of t_0, t_0 * t_mult, t_0 * t_mult^2, ... epochs."""

    t_0: int = field(default=10, metadata=right(lambda value: value >= 1, "1 epoch or more"))
    t_mult: int = field(default=2, metadata=right(lambda value: value >= 1, "1 or more"))


@dataclass(frozen=True)
class OneCycleSettings(ScheduleSettings):
    """1cycle (Smith & Topin 2018) with cosine flanks: up from 1/div over `rise` of the run, down to 1/(div final_div).

    The base rate is the peak. Momentum and betas stay as they are.
    """

    rise: float = field(
        default=0.3, metadata=right(lambda value: 0 < value < 1, "a fraction of the run between 0 and 1")
    )
    div: float = field(default=25.0, metadata=_FROM_1)
    final_div: float = field(default=1e4, metadata=_FROM_1)


SCHEDULES: dict[str, type[ScheduleSettings]] = {
    "constant": ScheduleSettings,
    "step": StepSettings,
    "cosine": CosineSettings,
    "restarts": RestartsSettings,
    "onecycle": OneCycleSettings,
}


def cycles(settings: ScheduleSettings, epochs: int) -> list[tuple[int, int]]:
    """(first epoch counted from 0, number of epochs) of each cycle; one cycle, the run, without restarts.

    The last cycle has its full length even if the run ends within it.
    """
    if not isinstance(settings, RestartsSettings):
        return [(0, epochs)]
    places, first, size = [], 0, settings.t_0
    while first < epochs:
        places.append((first, size))
        first, size = first + size, size * settings.t_mult
    return places


def cycle_epochs(settings: ScheduleSettings, epoch: int, epochs: int) -> int:
    """T of normalized weight decay in `epoch` (from 0): the length of its cycle, or of the run."""
    return next(size for first, size in cycles(settings, epochs) if epoch < first + size)
