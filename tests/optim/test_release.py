"""The decay applied over a run is the decay asked for, however small its steps are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import optim
from optim.release import QUANTUM, THRESHOLD, DecayLedger, release, released_rows
from optim.rules import DECAY, KEEP, Rule, coefficients
from optim.stacked import Stacked

SEQUENCES = {
    "tiny": np.full(20_000, 1e-8),
    "large": np.full(500, 1e-3),
    "about the threshold": np.full(5_000, 0.7 * THRESHOLD),
    "cosine": 3e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(20_000) / 20_000)),
    "with pauses": np.where(np.arange(9_000) % 7 < 3, 4e-7, 0.0),
    "nothing": np.zeros(100),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_all_that_was_asked_for_is_applied_by_the_end_and_never_more(name: str) -> None:
    decay = SEQUENCES[name]
    found, ledger = release(decay, last=True)
    asked, applied = np.cumsum(decay), np.cumsum(found)
    assert (found >= 0).all()
    assert (applied <= asked + 1e-12).all()
    assert (asked - applied < THRESHOLD + decay.max()).all()
    assert asked[-1] - applied[-1] < 1.1 * QUANTUM
    assert ledger.applied == pytest.approx(applied[-1], abs=1e-12)


@pytest.mark.parametrize("name", SEQUENCES)
def test_one_minus_what_is_applied_is_exact_in_float32(name: str) -> None:
    found, _ = release(SEQUENCES[name], last=True)
    assert (np.float64(np.float32(1 - found)) == 1 - found).all()


def test_a_decay_of_the_threshold_or_more_is_applied_at_every_step_up_to_its_quantum() -> None:
    decay = np.linspace(THRESHOLD, 0.1, 1000)
    found, _ = release(decay)
    assert np.abs(found - decay).max() < 1.01 * QUANTUM


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("cut", [1, 37, 90])
def test_any_cut_into_segments_gives_the_same_numbers(name: str, cut: int) -> None:
    decay = SEQUENCES[name]
    whole, end = release(decay)
    parts, ledger = [], DecayLedger()
    for part in (decay[:cut], decay[cut:cut], decay[cut:]):
        found, ledger = release(part, ledger)
        parts.append(found)
    assert (np.concatenate(parts) == whole).all()
    assert ledger == end


@pytest.mark.parametrize("name", SEQUENCES)
def test_an_optimizer_that_steps_one_at_a_time_owes_little_and_in_the_end_nothing(name: str) -> None:
    decay = SEQUENCES[name][:3000]
    p = torch.ones(4, requires_grad=True)
    p.grad = torch.zeros(4)
    optimizer = optim.SGDW([p], 1.0)
    for one in decay.tolist():
        optimizer.param_groups[0]["weight_decay"] = one
        optimizer.step()
        assert 0 <= optimizer.state[p]["decay_owed"].item() < THRESHOLD
    optimizer.release_decay()
    once = p.detach().clone()
    optimizer.release_decay()
    assert torch.equal(p.detach(), once)
    assert 0 <= optimizer.state[p]["decay_owed"].item() < QUANTUM
    torch.testing.assert_close(
        -torch.log(p.detach().double()), torch.full((4,), -np.log1p(-decay).sum()).double(), rtol=1e-4, atol=1e-6
    )


def test_the_rows_of_a_stack_are_released_trial_by_trial_and_penalties_left_alone() -> None:
    steps = np.arange(4000) + 1
    rules = [Rule("adamw", 1e-3, 1e-5), Rule("adam", 1e-3, 1e-5), Rule("adamw", 1e-3, 0.1, decay_all=False)]
    rows = np.stack([coefficients(r, steps, np.ones(4000), np.ones(4000)) for r in rules], -1)
    found, ledger = released_rows(rows)
    for trial in range(3):
        for kind in range(2):
            alone, _ = release(rows[:, kind, DECAY, trial])
            assert (found[:, kind, DECAY, trial] == alone).all()
    assert ledger.asked.shape == (2, 3)
    assert (found[:, :, KEEP] == 1 - found[:, :, DECAY]).all()
    others = [c for c in range(rows.shape[2]) if c not in (DECAY, KEEP)]
    assert (found[:, :, others] == rows[:, :, others]).all()


# Sizes of one update of the weight; "noisy" has that standard deviation and averages out to nothing. The constant one
# is about 1e-5 and float32 adds it to these weights without rounding, whose drift would hide that of the decay.
UPDATES = {"zero": 0.0, "constant": -168 * 2.0**-24, "noisy 1e-8": 1e-8, "noisy 1e-5": 1e-5}


def _shrunk(gradients: str, decay: float, steps: int, step: Callable[[Tensor, Tensor], None]) -> float:
    """How much of the decay `step(p, g)` applies, which is to take one step at rate 1; the median over weights."""
    torch.manual_seed(0)
    p = (torch.rand(64) + 0.5).requires_grad_()
    size = UPDATES[gradients]
    noise = torch.randn(1000, 64) * size
    if "noisy" not in gradients:
        noise = torch.full((1000, 64), size)
    exact = p.detach().double().numpy()
    driven, updates = exact.copy(), noise.double().numpy()
    for i in range(steps):
        step(p, noise[i % 1000])
        exact = exact * (1 - decay) - updates[i % 1000]
        driven -= updates[i % 1000]
    return float(np.median((driven - p.detach().double().numpy()) / (driven - exact)))


@pytest.mark.parametrize("gradients", UPDATES)
def test_a_decay_of_1e_8_shrinks_the_weight_as_float64_says_after_1e5_steps(gradients: str) -> None:
    optimizer: optim.SGDW | None = None

    def step(p: Tensor, g: Tensor) -> None:
        nonlocal optimizer
        optimizer = optimizer or optim.SGDW([p], 1.0, weight_decay=1e-8)
        p.grad = g
        optimizer.step()

    assert _shrunk(gradients, 1e-8, 100_000, step) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("gradients", ["zero", "noisy 1e-5"])
def test_a_stack_given_released_rows_shrinks_as_float64_says(gradients: str) -> None:
    steps = 20_000
    rows, _ = released_rows(
        coefficients(Rule("sgdw", 1.0, 5e-8, beta1=0.0), np.arange(steps) + 1, *np.ones((2, steps)))
    )
    table = torch.from_numpy(np.repeat(rows[..., None], 2, -1))
    live = torch.ones(2, dtype=torch.bool)
    stack, count = None, 0

    def step(p: Tensor, g: Tensor) -> None:
        nonlocal stack, count
        p.data, p.grad = p.data.view(2, 32), g.view(2, 32)
        stack = stack or Stacked([p], "sgd", [True])
        stack.step(table[count], live)
        count += 1
        p.data, p.grad = p.data.view(64), None

    assert _shrunk(gradients, 5e-8, steps, step) == pytest.approx(1, abs=0.02)


def test_adamw_applies_the_decay_that_torch_loses() -> None:
    steps, lr, wd = 20_000, 1e-4, 5e-4
    ours, torchs = torch.ones(64, requires_grad=True), torch.ones(64, requires_grad=True)
    mine = optim.AdamW([ours], lr, weight_decay=wd)
    theirs = torch.optim.AdamW([torchs], lr, weight_decay=wd / 10)
    for p in (ours, torchs):
        p.grad = torch.zeros(64)
    for _ in range(steps):
        mine.step()
    for _ in range(100):
        theirs.step()
    mine.release_decay()
    assert bool((torchs == 1).all())
    torch.testing.assert_close(
        1 - ours.detach().double(), torch.full((64,), 1 - (1 - lr * wd) ** steps).double(), rtol=2e-3, atol=0
    )
