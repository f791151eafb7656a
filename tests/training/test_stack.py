"""A trial's result does not depend on who else is in its stack."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from runner.config.schedules import OneCycleSettings, RestartsSettings
from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.records.schema import TIMING
from runner.training.stack import Stack
from runner.training.train import train
from runner.trials.trial import Trial, normal
from tests.helpers import images, optimizer, tokens, trial

CPU = torch.device("cpu")
CASES = {
    "resnet": (images(flip=True, pad=1), "resnet"),
    "shakeshake": (images(flip=True, pad=1), "shakeshake"),
    "transformer on images": (images(), "transformer"),
    "transformer on tokens": (tokens(), "transformer"),
    "transformer on text": (tokens(per_position=True), "transformer"),
}


def eight(dataset: Dataset, model: str, epochs: int) -> list[Trial]:
    """Eight different trials, Adam and AdamW, each convention, two seeds; the third diverges at once."""
    base = trial(dataset, model, epochs=epochs)
    adam = replace(base, optimizer=optimizer("adam"), wd_convention="l2", wd=1e-2)
    return [
        base,
        replace(base, seed=1, lr=3e-3, wd=1.0),
        replace(base, lr=1e300),
        adam,
        replace(adam, seed=1, lr=3e-2),
        replace(base, wd_convention="paper", wd=1e-3, optimizer=optimizer("adamw", decay_params="weights")),
        replace(base, wd_convention="normalized", schedule=RestartsSettings("restarts", t_0=1, t_mult=2)),
        replace(base, schedule=OneCycleSettings("onecycle", warmup_steps=5), optimizer=optimizer("adamw", beta2=0.9)),
    ]


def parameters(trials: list[Trial], dataset: Dataset, dtype: torch.dtype) -> tuple[Stack, list[list[Tensor]]]:
    stack = Stack(trials, dataset, CPU, dtype)
    for epoch in range(stack.epochs):
        stack.run_epoch(epoch)
    return stack, [[p[i].detach() for p in stack.parameters] for i in range(len(trials))]


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.campaign) if case == "shakeshake" else case for case in CASES]
)
def test_a_trial_in_a_stack_of_8_equals_the_trial_alone_over_50_steps_in_float64(case: str) -> None:
    dataset, model = CASES[case]
    trials = eight(dataset, model, epochs=17)  # of three steps
    stack, together = parameters(trials, dataset, torch.float64)
    assert stack.died_at()[2] >= 0
    assert [died >= 0 for died in stack.died_at()].count(True) == 1
    for i in (0, 1, 3, 4, 5, 6, 7):
        _, alone = parameters([trials[i]], dataset, torch.float64)
        for a, b in zip(together[i], alone[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_on_the_cpu_the_rows_are_the_same_to_the_bit_in_any_stack(case: str) -> None:
    dataset, model = CASES[case]
    trials = eight(dataset, model, epochs=4)

    def rows(some: list[Trial]) -> dict[str, Any]:
        reports = list(train(some, dataset, CPU))
        finished = [row for report in reports for row in report.trials]
        curves = [row for report in reports for row in report.curves]
        return {f"{r['trial']} {r.get('epoch')}": strip(r) for r in [*finished, *curves]}

    whole = rows(trials)
    for some in ([trials[0]], trials[3:5], [trials[7], trials[1], trials[2], trials[0], trials[5]]):
        for key, row in rows(some).items():
            assert repr(row) == repr(whole[key])  # repr, so that nan equals nan


def strip(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in TIMING}


def test_a_diverged_trial_counts_as_chance_and_says_when() -> None:
    dataset = images()
    healthy, diverging = trial(dataset), trial(dataset, lr=1e300)
    *_, last = train([healthy, diverging], dataset, CPU, RunSettings())
    good, bad = last.trials
    assert good["status"] == "ok"
    assert "note" not in good
    assert bad["status"] == "diverged"
    assert bad["note"].startswith("diverged in epoch 1")
    assert bad["val_error"] == bad["test_error"] == 75.0
    assert math.isnan(bad["test_loss"])
    assert bad["gap_error"] == 0


def test_training_learns_and_measures_what_it_says() -> None:
    dataset = images(train=64)
    run = RunSettings(eval_every=2, target_error=50.0)
    reports = list(train([trial(dataset, epochs=12)], dataset, CPU, run))
    (row,) = reports[-1].trials
    curves = [row for report in reports for row in report.curves]
    assert [c["epoch"] for c in curves] == [2, 4, 6, 8, 10, 12]
    assert row["train_error"] < 10 < 50 < curves[0]["val_error"] + 1e9
    assert row["gap_loss"] == row["test_loss"] - row["train_loss"]
    assert row["epochs_to_target"] == min(c["epoch"] for c in curves if c["val_error"] <= 50)
    assert curves[-1]["val_error"] == row["val_error"]
    assert row["steps"] == 12 * 4
    assert curves[-1]["weight_norm"] > 0
    assert curves[-1]["update_norm"] > 0


def test_every_cycle_of_a_restart_schedule_has_its_row() -> None:
    dataset = images()
    some = trial(dataset, epochs=7, schedule=RestartsSettings("restarts", t_0=1, t_mult=2))
    reports = list(train([some], dataset, CPU, RunSettings(eval_every=100)))
    assert [(r["cycle"], r["epoch"]) for report in reports for r in report.cycles] == [(1, 1), (2, 3), (3, 7)]


def test_a_seed_decides_everything_and_differs_from_another() -> None:
    dataset = images()

    def final(seed: int) -> dict[str, Any]:
        *_, last = train([trial(dataset, seed=seed)], dataset, CPU)
        return strip(last.trials[0])

    assert final(0) == final(0)
    assert final(0)["test_loss"] != final(1)["test_loss"]


def test_without_decay_adam_and_adamw_are_one_trial() -> None:
    dataset = images()
    adam = normal(trial(dataset, name="adam", wd=0.0))
    adamw = normal(trial(dataset, name="adamw", wd=0.0))
    assert adam == adamw
    assert normal(trial(dataset, name="sgdw", wd=0.0)).optimizer.name == "sgd"
    assert adam.id != trial(dataset, name="sgd", wd=0.0).id


def test_bf16_trains_under_autocast() -> None:
    dataset = images()
    *_, last = train([trial(dataset, precision="bf16")] * 2, dataset, CPU)
    *_, full = train([trial(dataset)] * 2, dataset, CPU)
    assert last.trials[0]["train_loss"] != full.trials[0]["train_loss"]
    assert last.trials[0]["train_loss"] == pytest.approx(full.trials[0]["train_loss"], abs=0.3)
