"""What a step takes from its schedule and rule is the same whichever epochs it is made with."""

from __future__ import annotations

import numpy as np
import pytest

from optim import rules
from runner.config.schedules import (
    CosineSettings,
    OneCycleSettings,
    RestartsSettings,
    ScheduleSettings,
    StepSettings,
)
from runner.training.coefficients import STEPS, Coefficients
from runner.training.multiplier import Length, multiplier
from runner.trials.trial import Trial
from tests.helpers import images, trial

SCHEDULES: list[ScheduleSettings] = [
    CosineSettings("cosine", warmup_steps=7),
    StepSettings("step"),
    RestartsSettings("restarts", t_0=3, t_mult=2),
    OneCycleSettings("onecycle"),
]


def made(schedule: ScheduleSettings, epochs: int, batch_size: int) -> list[Trial]:
    about = {"schedule": schedule, "epochs": epochs, "batch_size": batch_size}
    normalized = trial(images(90), wd_convention="normalized", **about)
    return [normalized, trial(images(90), name="adam", **about), trial(images(90), lr=3e-3, seed=1, **about)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("batch_size", [1, 7, 90])
def test_an_epochs_coefficients_are_those_of_its_steps_alone(schedule: ScheduleSettings, batch_size: int) -> None:
    trials = made(schedule, 40, batch_size)
    per_epoch = trials[0].per_epoch
    for epoch in range(0, 40, 3):
        found = Coefficients.of(trials, epoch)
        start = (epoch - found.first) * per_epoch
        steps = np.arange(epoch * per_epoch, (epoch + 1) * per_epoch)
        for i, one in enumerate(trials):
            eta = multiplier(one.schedule, steps, Length(40, per_epoch))
            updates = np.full(per_epoch, one.updates(epoch))
            assert np.array_equal(found.eta[i, start : start + per_epoch], eta)
            rows = rules.coefficients(one.rule, steps + 1, eta, updates)
            assert np.array_equal(found.rows[start : start + per_epoch, ..., i], rows)


def test_a_run_that_goes_on_makes_the_same_blocks() -> None:
    trials = made(SCHEDULES[0], 3000, 90)
    edges = {STEPS, STEPS + 1, 2 * STEPS + 1, 2 * STEPS + 2, 2999}  # the first and last epochs of blocks
    epochs = sorted({*range(0, 3000, 50), *edges})
    blocks = {(found.first, found.end) for found in (Coefficients.of(trials, epoch) for epoch in epochs)}
    assert blocks == {(0, STEPS + 1), (STEPS + 1, 2 * STEPS + 2), (2 * STEPS + 2, 3000)}
