"""What the steps to come take from schedules and rules: `Coefficients.of(trials, epoch)`, made for some epochs at once.

An epoch may be a dozen steps, and numpy takes as long for those as for a thousand.
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
    """Of the epochs from `first` to before `end`: eta [trials, steps] and rows [steps, 2, COLUMNS, trials], float64."""

    first: int
    end: int
    eta: np.ndarray
    rows: np.ndarray

    @staticmethod
    def of(trials: Sequence[Trial], epoch: int) -> Coefficients:
        """Of trials that share a stack, for `epoch` (from 0) and others: the same ones wherever a run goes on."""
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
