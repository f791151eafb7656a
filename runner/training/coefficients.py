"""What the steps to come take from schedules and rules: `Coefficients.of(trials, epoch)`, for some epochs at once.

An epoch may be a dozen steps, and NumPy takes as long for a dozen as for a thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim import rules
from runner.training.multiplier import Length, multiplier
from runner.trials.trial import Trial

STEPS = 1024  # about as many are made at a time


@dataclass(frozen=True)
class Coefficients:
    """Multipliers and coefficients of the steps of some epochs, float64."""

    first: int  # the first of the epochs, from 0
    end: int  # the epoch after the last one
    eta: np.ndarray  # [trials, steps]: what the schedule multiplies the learning rate by
    rows: np.ndarray  # [steps, 2, COLUMNS, trials], see `optim.rules.coefficients`

    @staticmethod
    def of(trials: Sequence[Trial], epoch: int) -> Coefficients:
        """For trials that share a stack, and `epoch` (from 0) with others: the same others wherever a run goes on."""
        per_epoch, epochs = trials[0].per_epoch, trials[0].epochs
        together = 1 + STEPS // per_epoch
        first = epoch // together * together
        end = min(epochs, first + together)
        steps = np.arange(first * per_epoch, end * per_epoch)
        etas, rows = [], []
        for trial in trials:
            eta = multiplier(trial.schedule, steps, Length(epochs, per_epoch))
            updates = np.repeat([trial.updates(each) for each in range(first, end)], per_epoch)
            etas.append(eta)
            rows.append(rules.coefficients(trial.rule, steps + 1, eta, updates))
        return Coefficients(first, end, np.stack(etas), np.stack(rows, -1))
