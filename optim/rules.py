"""One trial's update rule as numbers: `coefficients(rule, ...)` tabulates what each step multiplies by.

All of it is formed in float64 on the host, before training, so that the step itself (`optim.stacked`) only
multiplies and adds, and every trial of a stack may have its own optimizer, rates and schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optim import conventions

if TYPE_CHECKING:
    import numpy as np

# Rules of one family can share a stack: their steps differ only in coefficients.
FAMILIES = {"adam": "adam", "adamw": "adam", "sgd": "sgd", "sgdw": "sgd", "sparse_adamw": "sparse", "lomo": "lomo"}
UNSTACKABLE = {"sparse_adamw", "lomo"}  # these step one network only
WD_SCHEDULES = ("follow_lr", "constant", "beta2_ramp")
COUPLED = {"adam", "sgd"}  # these add wd * theta to the gradient

# The columns of a row of coefficients, all formed in float64. KEEP is 1 - DECAY, RATE1 and RATE2 are 1 - beta, STEP is
# the learning rate over the first bias correction and BIAS2 the root of the second. SGD reads BETA1 as its momentum and
# ignores BETA2, BIAS2 and EPS. torch's fused operators form these by themselves: they read LR, the learning rate, and
# COUNT, the number of the step, instead of STEP and BIAS2.
L2, DECAY, KEEP, BETA1, RATE1, BETA2, RATE2, STEP, BIAS2, EPS, LR, COUNT = range(12)
COLUMNS = 12


@dataclass(frozen=True)
class Rule:
    """An optimizer variant with its numbers.

    Args:
        optimizer: a key of `FAMILIES`.
        lr: base learning rate, which the schedule's multiplier eta_t multiplies.
        wd: weight decay, in the unit of `convention`. For adam and sgd it is the coefficient of the L2 penalty.
        convention: "torch", "paper" or "normalized" (see `optim.conventions`); adam and sgd do not read it.
        beta1: decay rate of the first moment; the momentum of SGD.
        beta2: decay rate of the second moment.
        eps: added to the root of the second moment.
        decay_all: whether norms and biases decay too; False spares them.
        wd_schedule: what decoupled decay is multiplied by at step t: "follow_lr" the rate's multiplier eta_t, as in the
            paper and in torch; "constant" 1; "beta2_ramp" eta_t sqrt(1 - beta2^t), which grows as Adam's second moment
            fills.
    """

    optimizer: str
    lr: float
    wd: float = 0.0
    convention: str = "torch"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    decay_all: bool = True
    wd_schedule: str = "follow_lr"

    @property
    def family(self) -> str:
        """Of `FAMILIES`: which stack can hold it."""
        return FAMILIES[self.optimizer]

    def decay(self, step: np.ndarray, eta: np.ndarray, updates: np.ndarray) -> np.ndarray:
        """The fraction of a weight removed at each step, or for a coupled rule the L2 coefficient: float64 [steps].

        Args, all [steps]:
            step: numbers of the steps, from 1.
            eta: the schedule's multipliers.
            updates: B * T / b, with T the epochs of the run or the current cycle; only "normalized" reads it.
        """
        import numpy as np  # a tenth of a second, which a command line that is only read does not wait for

        if self.optimizer in COUPLED:
            return np.full(len(eta), self.wd)
        if self.wd_schedule == "constant":
            eta = np.ones_like(eta)
        elif self.wd_schedule == "beta2_ramp":
            eta = eta * np.sqrt(1 - self.beta2**step)
        if self.convention == "normalized":
            return eta * self.wd / np.sqrt(updates)
        return eta * conventions.to_paper(self.convention, self.wd, self.lr, 1.0)


def coefficients(rule: Rule, step: np.ndarray, eta: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """What the steps of a rule multiply by: float64 [steps, 2, COLUMNS]; `step`, `eta`, `updates` as in `Rule.decay`.

    The middle axis holds the row of weights first and then that of norms and biases.
    """
    import numpy as np

    rows = np.zeros((len(step), 2, COLUMNS))
    decay = rule.decay(step, eta, updates)
    spared = np.array([1.0, float(rule.decay_all)])
    rows[:, :, L2 if rule.optimizer in COUPLED else DECAY] = decay[:, None] * spared
    rows[:, :, KEEP] = 1 - rows[:, :, DECAY]
    rows[:, :, BETA1] = rule.beta1
    rows[:, :, LR] = rows[:, :, STEP] = (rule.lr * eta)[:, None]
    rows[:, :, COUNT] = step[:, None]
    if rule.family == "adam":
        rows[:, :, RATE1] = 1 - rule.beta1
        rows[:, :, BETA2] = rule.beta2
        rows[:, :, RATE2] = 1 - rule.beta2
        rows[:, :, STEP] /= (1 - rule.beta1**step)[:, None]
        rows[:, :, BIAS2] = np.sqrt(1 - rule.beta2**step)[:, None]
        rows[:, :, EPS] = rule.eps
    return rows
