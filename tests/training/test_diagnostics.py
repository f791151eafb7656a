"""Diagnostics: what they call decay is what decay did, the angles are right, and watching changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from runner.config.schedules import ScheduleSettings
from runner.config.settings import RunSettings
from runner.training.diagnostics import Diagnostics, coefficient_of_variation, correlation, turn
from runner.training.stack import Stack
from runner.training.train import train
from runner.trials.trial import Trial
from tests.helpers import images, optimizer, trial

CPU = torch.device("cpu")
DATASET = images()


def pair(**more: object) -> list[Trial]:
    base = trial(DATASET, epochs=4, **more)
    adam = replace(base, optimizer=optimizer("adam"), wd_convention="l2", wd=0.05)
    return [replace(base, wd=0.5), adam, replace(adam, wd=0.0)]


def dynamics(trials: list[Trial]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {t.id: [] for t in trials}
    for report in train(trials, DATASET, CPU, RunSettings(diagnostics=True)):
        for row in report.dynamics:
            found[str(row["trial"])].append(row)
    return found


def test_watching_changes_no_bit() -> None:
    *_, watched = train(pair(), DATASET, CPU, RunSettings(diagnostics=True))
    *_, plain = train(pair(), DATASET, CPU)
    for a, b in zip(watched.trials, plain.trials, strict=True):
        assert [a[k] for k in ("train_loss", "val_loss", "test_loss")] == [
            b[k] for k in ("train_loss", "val_loss", "test_loss")
        ]
    assert watched.dynamics
    assert not plain.dynamics


def test_adamw_decays_every_weight_alike_and_adam_with_l2_those_with_large_gradients_less() -> None:
    adamw, adam, plain = dynamics(pair()).values()
    assert all(row["decay_cv"] == pytest.approx(0, abs=1e-9) for row in adamw)
    assert all(row["decay_rank_correlation"] is None and row["penalty_share"] is None for row in adamw)
    whole = [row for row in adam if row["layer"] == "all"]
    assert all(row["decay_rank_correlation"] < -0.3 for row in whole)  # type: ignore[operator]
    assert all(row["decay_cv"] > 0.3 and 0 < row["penalty_share"] < 2 for row in whole)  # type: ignore[operator]
    for row in whole:
        assert row["decay_1"] > row["decay_3"] > row["decay_5"]  # type: ignore[operator]
    assert all(row["decay_1"] == pytest.approx(row["decay_5"]) for row in adamw if "decay_1" in row)
    assert all(row["decay_cv"] is None and row["bound"] is None for row in plain)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_penaltys_share_is_the_step_less_that_of_a_moment_without_it(name: str) -> None:
    """In float64, with the moment of the gradients alone followed beside."""
    base = trial(DATASET, epochs=3, optimizer=optimizer(name), wd_convention="l2", wd=0.05)
    stack = Stack([base], DATASET, CPU, torch.float64, diagnostics=True)
    watch = stack.step.diagnostics
    assert isinstance(watch, Diagnostics)
    of_gradients = [torch.zeros_like(p) for p in stack.parameters]
    step = stack.step.optimizer.step

    def followed(rows: torch.Tensor, live: torch.Tensor, scale: object = None, clock: object = None) -> None:
        for moment, p in zip(of_gradients, stack.parameters, strict=True):
            assert p.grad is not None
            moment.mul_(0.9).add_(p.grad, alpha=0.1 if name == "adam" else 1.0)
        step(rows, live)

    stack.step.optimizer.step = followed  # type: ignore[method-assign]
    for epoch in range(3):
        stack.run_epoch(epoch)
    for mine, share, moment in zip(of_gradients, watch.penalty, stack.step.optimizer.moments1, strict=True):
        torch.testing.assert_close(mine[0] + share[0], moment[0], rtol=1e-9, atol=1e-12)


def test_bound_timescale_and_predicted_rotation_follow_their_formulas() -> None:
    one = replace(pair()[0], schedule=ScheduleSettings("constant"), lr=0.01, wd=0.5)
    (rows,) = dynamics([one]).values()
    decay = 0.01 * 0.5
    for row in rows:
        assert row["bound"] == pytest.approx(1 / 0.5)
        assert row["tau_epochs"] == pytest.approx(1 / (decay * one.per_epoch))
        assert row["predicted_angle"] == pytest.approx(math.sqrt(2 * decay * 0.1 / 1.9))
    assert {row["kind"] for row in rows} == {"all", "normalised", "norm", "plain"}


def test_turn_is_the_angle_even_where_a_cosine_has_no_digits_left() -> None:
    small = np.array([1e-10, 1e-5, 0.3, math.pi / 2])
    old = torch.tensor([[2.0, 0.0]], dtype=torch.float64).repeat(4, 1)
    new = torch.from_numpy(np.stack([np.cos(small), np.sin(small)], 1)) * 3
    np.testing.assert_allclose(turn(old, new).numpy(), small, rtol=1e-5)


def test_the_statistics_are_scipys_and_numpys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 500) / 7.0, rng.random(500)
    assert correlation(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(spearmanr(x, y).statistic)
    assert coefficient_of_variation(torch.from_numpy(x)) == pytest.approx(x.std() / x.mean())
    assert correlation(torch.ones(5), torch.arange(5.0)) is None
