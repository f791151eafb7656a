"""Optimizers that cannot be stacked train alone through the same code, and are what they say they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset, Split
from runner.errors import UserError
from runner.system.signals import Interrupted
from runner.training.checkpoint import Checkpoints
from runner.training.stack import Stack
from runner.training.train import train
from runner.training.unstacked import Unstacked
from runner.trials.plan import Layout, plan
from runner.trials.trial import Facts, Trial, expand
from tests.helpers import images, tokens, trial
from tests.training.test_recipes import composed

CPU = torch.device("cpu")


def alone(like: Trial, name: str, **more: Any) -> Trial:
    """The same trial with another optimizer."""
    (found,) = expand(composed(f"optimizer={name}", f"lr={like.lr!r}", f"wd={like.wd!r}"), like.facts)
    return replace(like, optimizer=found.optimizer, **more)


def weights(some: Trial, dataset: Any, dtype: torch.dtype = torch.float64, epochs: int = 3) -> list[torch.Tensor]:
    stack = Stack([some], dataset, CPU, dtype=dtype)
    for epoch in range(epochs):
        stack.run_epoch(epoch)
    return [p.detach()[0].clone() for p in stack.parameters]


def rare() -> Dataset:
    """Sequences over 200 tokens, most of which a batch does not hold."""
    random = np.random.default_rng(0)
    x = random.integers(0, 200, (40, 6))
    part = Split(x, x[:, 0] % 7)
    return Dataset("made-up", "tokens", 7, part, part, part, vocabulary=200, hash="89ab")


def test_sparse_adamw_ends_where_adamw_does() -> None:
    text = rare()
    like = trial(text, model="transformer", epochs=3, batch_size=4)
    for convention in ("torch", "paper"):
        dense = replace(like, wd_convention=convention, wd=0.1 if convention == "torch" else 1e-3)
        sparse = alone(dense, "sparse_adamw")
        for a, b in zip(weights(dense, text), weights(sparse, text), strict=True):
            # The stack saves up decay that float32 could not express; both use the same rows of coefficients.
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_lomo_ends_where_sgdw_without_momentum_does() -> None:
    some = images()
    like = trial(some, name="sgdw", epochs=3)
    plain = replace(like, optimizer=replace(like.optimizer, momentum=0.0))  # type: ignore[call-arg]
    lomo = alone(plain, "lomo")
    for a, b in zip(weights(plain, some), weights(lomo, some), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_lomo_leaves_no_gradient_behind() -> None:
    some = images()
    stack = Stack([alone(trial(some, name="sgdw"), "lomo")], some, CPU)
    stack.run_epoch(0)
    assert all(p.grad is None for p in stack.parameters)


@pytest.mark.parametrize("name", ["sparse_adamw", "lomo"])
def test_their_trials_are_planned_one_by_one(name: str) -> None:
    settings = composed(f"optimizer={name}", "lr=[1e-3,1e-2]", "seed=[0,1,2]")
    stacks = plan(expand(settings, Facts.of(images())), Layout("cpu"))
    assert [len(stack) for stack in stacks] == [1] * 6


class Impatient(Checkpoints):
    """Saves whenever it can, and is interrupted after so many times."""

    left = 10**9

    def pulse(self, state: Callable[[], dict[str, Any]]) -> None:
        super().pulse(state)
        self.left -= 1
        if not self.left:
            raise Interrupted(15)


@pytest.mark.parametrize("name", ["sparse_adamw", "lomo"])
@pytest.mark.parametrize("pulses", [3, 8, 13, 18])
def test_their_rows_are_the_same_to_the_bit_however_often_the_run_is_saved_and_stopped(
    name: str, pulses: int, tmp_path: Path
) -> None:
    text = tokens(train=40, length=6)
    some = alone(trial(text, model="transformer", epochs=4), name)
    *_, last = train([some], text, CPU, RunSettings())
    (row,) = last.trials
    assert (row["status"], row["optimizer"]) == ("ok", name)
    saved = Impatient(tmp_path / "s.pt", [some.id], 0.0, print)
    saved.left = pulses
    with pytest.raises(Interrupted):
        list(train([some], text, CPU, RunSettings(), checkpoints=saved))
    *_, last = train([some], text, CPU, RunSettings(), checkpoints=saved, saved=saved.load())
    again = last.trials[0]
    for column in ("train_loss", "val_loss", "test_loss"):
        assert again[column] == row[column]


@pytest.mark.parametrize("name", ["sparse_adamw", "lomo"])
def test_a_diverging_trial_is_recorded(name: str) -> None:
    some = images()
    *_, last = train([alone(trial(some, lr=1e30, wd=0.0), name)], some, CPU, RunSettings())
    assert last.trials[0]["status"] == "diverged"


@pytest.mark.parametrize("typed", ["precision=fp16", "lookahead.k=5"])
def test_what_they_cannot_do_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match="whose trials are trained alone"):
        composed("optimizer=lomo", typed)


def test_a_decay_that_sparse_adamw_cannot_take_is_refused_before_training() -> None:
    facts = Facts.of(images())
    with pytest.raises(UserError, match="wd=200: sparse_adamw needs a decay below 1 in every step"):
        expand(composed("optimizer=sparse_adamw", "lr=0.01", "wd=200"), facts)
    assert expand(composed("optimizer=sparse_adamw", "lr=0.01", "wd=20"), facts)


def test_moments_read_on_the_cpu_go_to_the_networks_device() -> None:
    stack = Stack([alone(trial(images()), "sparse_adamw")], images(), CPU)
    optimizer = stack.step.optimizer
    assert isinstance(optimizer, Unstacked)
    saved = [[p.detach().clone()[None] for p in optimizer.own] for _ in range(2)]
    optimizer.own = [torch.nn.Parameter(p.detach().to("meta")) for p in optimizer.own]
    optimizer.restore(3, *saved)
    states = [optimizer.optimizer.state[p] for p in optimizer.own]
    assert {state[name].device.type for state in states for name in ("exp_avg", "exp_avg_sq")} == {"meta"}
