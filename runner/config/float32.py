"""Numbers that a step cannot use: `check_steps(settings)` refuses rates and decays outside float32's range.

Beyond it a rate is 0 or infinite where it is multiplied, so that a trial trains nothing or diverges at once.
"""

from __future__ import annotations

from runner.config.settings import Settings
from runner.errors import UserError

ZERO = ("wd", "optimizer.eps")  # which may be 0
LEAST, MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # float32's normal numbers


def check_steps(settings: Settings) -> None:
    """UserError for the first rate, decay, or product of both that a step uses, which float32 cannot hold."""
    given = [("lr", lr) for lr in settings.lr]
    given += [("wd", wd) for lr in settings.lr for wd in settings.wds(lr)]
    given += [("optimizer.eps", getattr(settings.optimizer, "eps", 0.0))]
    given += [("loss_multiplier", settings.loss_multiplier)]
    for key, value in given:
        if not in_range(value):
            raise UserError(f"{key}={value}: must be {'0 or ' * (key in ZERO)}from {LEAST:.3g} to {MOST:.3g} (float32)")
    if settings.wd_convention != "torch":
        return
    for lr in settings.lr:
        for wd in settings.wds(lr):
            if not in_range(lr * wd):
                raise UserError(
                    f"lr={lr} wd={wd}: a step decays by their product, which must be 0 or from {LEAST:.3g} to "
                    f"{MOST:.3g} (float32)"
                )


def in_range(value: float) -> bool:
    """Whether float32 holds it without losing digits: 0, or a normal number."""
    return value == 0 or LEAST <= abs(value) <= MOST
