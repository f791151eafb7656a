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

# What can share a stack, and what cannot be stacked.
FAMILIES = {"adam": "adam", "adamw": "adam", "sgd": "sgd", "sgdw": "sgd", "sparse_adamw": "sparse", "lomo": "lomo"}
ALONE = {"sparse_adamw", "lomo"}
WD_SCHEDULES = ("follow_lr", "constant", "beta2_ramp")
COUPLED = {"adam", "sgd"}  # these add wd * theta to the gradient

# The columns of a row of coefficients. SGD reads beta1 as its momentum and has no use for beta2, bias2 and eps.
# KEEP is 1 - DECAY, RATE 1 - BETA, STEP the rate over the first bias correction and BIAS2 the root of the second,
# all formed in float64. LR and COUNT, the rate and the number of the step, are for operators that form them anew.
L2, DECAY, KEEP, BETA1, RATE1, BETA2, RATE2, STEP, BIAS2, EPS, LR, COUNT = range(12)
COLUMNS = 12


@dataclass(frozen=True)
class Rule:
    """An optimizer variant with base learning rate `lr` and decay `wd` in its `convention`.

    `decay_all` False spares norms and biases. `beta1` is the momentum of SGD. `wd_schedule` is what decoupled decay
    is multiplied by at step t: "follow_lr" the rate's multiplier eta_t, as in the paper and in torch; "constant" 1;
    "beta2_ramp" eta_t sqrt(1 - beta2^t), which grows as Adam's second moment fills.
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
        return FAMILIES[self.optimizer]

    def decay(self, step: np.ndarray, eta: np.ndarray, updates: np.ndarray) -> np.ndarray:
        """The fraction of a weight removed at each `step` (from 1), or for a coupled rule the L2 coefficient.

        All of one shape. `updates`: B * T / b at each step, with T the epochs of the current cycle.
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
    """The rows of steps `step` (counted from 1): float64 [steps, 2, COLUMNS].

    The middle axis holds first what weights get and then what norms and biases get.
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
