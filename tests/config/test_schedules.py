"""Schedules equal torch's schedulers step by step, and restarts fall where the paper says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as t

from runner.config import schedules as s
from runner.errors import UserError
from runner.training.multiplier import Length, multiplier

LENGTH = Length(epochs=30, per_epoch=7)


def torch_path(make: Callable[[torch.optim.Optimizer], t.LRScheduler]) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, path = make(optimizer), []
    for _ in range(LENGTH.steps):
        path.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(path)


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        (s.ScheduleSettings("constant"), lambda o: t.LambdaLR(o, lambda _: 1.0)),
        (s.CosineSettings("cosine", eta_min=0.1), lambda o: t.CosineAnnealingLR(o, LENGTH.steps, eta_min=0.1)),
        (s.StepSettings("step"), lambda o: t.MultiStepLR(o, [9 * 7, 18 * 7, 24 * 7], 0.1)),
        (
            s.RestartsSettings("restarts", t_0=4, t_mult=2),
            lambda o: t.CosineAnnealingWarmRestarts(o, T_0=28, T_mult=2),
        ),
        (
            s.OneCycleSettings("onecycle"),
            lambda o: t.OneCycleLR(o, max_lr=1.0, total_steps=LENGTH.steps, cycle_momentum=False),
        ),
    ],
)
def test_schedules_equal_torchs(
    settings: s.ScheduleSettings, make: Callable[[torch.optim.Optimizer], t.LRScheduler]
) -> None:
    ours = multiplier(settings, np.arange(LENGTH.steps), LENGTH)
    np.testing.assert_allclose(ours, torch_path(make), rtol=1e-9, atol=1e-12)


def test_warm_up_is_linear_and_multiplies() -> None:
    steps = np.arange(LENGTH.steps)
    plain = multiplier(s.CosineSettings("cosine"), steps, LENGTH)
    by_steps = multiplier(s.CosineSettings("cosine", warmup_steps=14), steps, LENGTH)
    by_epochs = multiplier(s.CosineSettings("cosine", warmup_epochs=2), steps, LENGTH)
    np.testing.assert_array_equal(by_steps, by_epochs)
    np.testing.assert_allclose(by_steps[:14], plain[:14] * np.arange(1, 15) / 14)
    np.testing.assert_array_equal(by_steps[14:], plain[14:])


def test_restarts_end_where_the_papers_example_says() -> None:
    settings = s.RestartsSettings("restarts", t_0=100, t_mult=2)
    ends = [first + size for first, size in s.cycles(settings, 1500)]
    assert ends == [100, 300, 700, 1500]
    assert [s.cycle_epochs(settings, epoch, 1500) for epoch in (0, 99, 100, 699, 700)] == [100, 100, 200, 400, 800]


def test_any_part_of_a_schedule_equals_the_same_part_of_the_whole() -> None:
    settings = s.RestartsSettings("restarts", t_0=3, t_mult=2)
    whole = multiplier(settings, np.arange(LENGTH.steps), LENGTH)
    part = multiplier(settings, np.arange(50, 90), LENGTH)
    np.testing.assert_array_equal(whole[50:90], part)


@pytest.mark.parametrize(
    "make",
    [
        lambda: s.CosineSettings("cosine", warmup_steps=-1),
        lambda: s.CosineSettings("cosine", warmup_steps=1, warmup_epochs=1),
        lambda: s.CosineSettings("cosine", eta_min=1.0),
        lambda: s.StepSettings("step", drops=(0.6, 0.3)),
        lambda: s.StepSettings("step", drops=(0.0,)),
        lambda: s.RestartsSettings("restarts", t_0=0),
        lambda: s.OneCycleSettings("onecycle", rise=1.0),
        lambda: s.ScheduleSettings("constant", warmup_epochs=float("nan")),
    ],
)
def test_impossible_schedules_are_refused_in_one_line(make: Callable[[], s.ScheduleSettings]) -> None:
    with pytest.raises(UserError) as refusal:
        make()
    assert str(refusal.value).startswith("schedule.")
    assert "\n" not in str(refusal.value)
