"""The stacked step is torch.optim's where torch has the variant, and the paper's formula everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from optim import reference
from optim.rules import COLUMNS, LR, Rule, coefficients
from optim.stacked import Stacked, finite_rows, table
from tests.optim.compare import gradients, largest_difference, single_path, stacked_path, start

STEPS = 100
BETAS = [(0.9, 0.999), (0.5, 0.9)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_torch_optim_agrees_over_100_steps(name: str, dtype: torch.dtype, tolerance: float) -> None:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    cases = [(lr, wd, *betas) for lr in (1e-3, 1e-2) for wd in (0.0, 0.1) for betas in BETAS]
    rules = [Rule(name, lr, wd, beta1=b1, beta2=b2) for lr, wd, b1, b2 in cases]
    stack = stacked_path(rules, STEPS, dtype)
    for i, (lr, wd, b1, b2) in enumerate(cases):

        def make(
            p: list[Tensor], lr: float = lr, wd: float = wd, b1: float = b1, b2: float = b2
        ) -> torch.optim.Optimizer:
            extra = {"momentum": b1} if name == "sgd" else {"betas": (b1, b2)}
            return kinds[name](p, lr=lr, weight_decay=wd, **extra)

        assert largest_difference([s[i] for s in stack], single_path(make, STEPS, dtype)) < tolerance


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "sgdw"])
def test_every_variant_is_the_papers_formula_in_float64(name: str) -> None:
    eta = 0.5 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))
    lam, alpha, beta1 = 1e-3, 1e-2, 0.8
    stack = stacked_path([Rule(name, alpha, lam, "paper", beta1=beta1)] * 2, STEPS, torch.float64, eta)
    for tensor, theta in enumerate(start(torch.float64)):
        m, v = torch.zeros_like(theta), torch.zeros_like(theta)
        for step, gs in enumerate(gradients(STEPS, [tuple(p.shape) for p in start(torch.float64)], torch.float64)):
            g, e = gs[tensor], float(eta[step])
            if name.startswith("adam"):
                theta, m, v = getattr(reference, name)(theta, g, m, v, step + 1, alpha, e, lam, beta1)
            else:
                theta, m = getattr(reference, name)(theta, g, m, alpha, e, lam, beta1)
            torch.testing.assert_close(stack[step][1][tensor], theta, rtol=1e-11, atol=1e-13)


def test_the_three_conventions_are_one_decay_when_converted() -> None:
    lr, paper, updates = 3e-3, 2e-4, 4000.0
    rules = [
        Rule("adamw", lr, paper, "paper"),
        Rule("adamw", lr, paper / lr, "torch"),
        Rule("adamw", lr, paper * updates**0.5, "normalized"),
    ]
    last = stacked_path(rules, STEPS, torch.float64, np.linspace(1, 0, STEPS), updates)[-1]
    for other in last[1:]:
        for a, b in zip(last[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_decoupled_decay_in_the_papers_convention_does_not_depend_on_the_learning_rate() -> None:
    steps = 10
    rules = [Rule("adamw", lr, 1e-2, "paper") for lr in (1e-12, 1e-15)]
    last = stacked_path(rules, steps, torch.float64)[-1]
    for slot in last:
        for p, begun in zip(slot, start(torch.float64), strict=True):
            torch.testing.assert_close(p, begun * (1 - 1e-2) ** steps, rtol=1e-8, atol=1e-9)


def test_decay_params_weights_spares_norms_and_biases() -> None:
    all_, weights = stacked_path(
        [Rule("adamw", 1e-2, 0.5), Rule("adamw", 1e-2, 0.5, decay_all=False)], 5, torch.float64
    )[-1]
    plain = stacked_path([Rule("adam", 1e-2, 0.0)] * 2, 5, torch.float64)[-1][0]
    torch.testing.assert_close(weights[0], all_[0])
    torch.testing.assert_close(weights[1], plain[1])
    assert not torch.allclose(all_[1], plain[1])


def test_a_frozen_trial_keeps_its_bits_and_its_neighbour_does_not_notice() -> None:
    shape = (2, 3, 4)
    alone = torch.ones(shape, requires_grad=True)
    beside = torch.ones(shape, requires_grad=True)
    steps = [Stacked([p], "adam", [True]) for p in (alone, beside)]
    table = [coefficients(Rule(name, 0.1, 0.1), np.ones(1), np.ones(1), np.ones(1))[0] for name in ("adam", "adamw")]
    rows = torch.from_numpy(np.stack(table, -1))
    alone.grad = torch.randn(shape)
    beside.grad = alone.grad.clone()
    beside.grad[1] = torch.nan
    assert steps[1].finite().tolist() == [True, False]
    steps[0].step(rows, torch.tensor([True, True]))
    steps[1].step(rows, torch.tensor([True, False]))
    assert torch.equal(alone[0], beside[0])
    assert torch.equal(beside[1], torch.ones(shape[1:]))


def test_the_state_goes_on_where_it_stopped() -> None:
    whole = stacked_path([Rule("adamw", 1e-2, 0.1)] * 2, 2, torch.float32)[-1][0]
    parameters = [torch.stack([p] * 2).requires_grad_() for p in start(torch.float32)]
    rows = coefficients(Rule("adamw", 1e-2, 0.1), np.arange(2) + 1, np.ones(2), np.full(2, 100.0))
    table = torch.from_numpy(np.stack([rows] * 2, -1)).float()
    state = None
    for step, gs in enumerate(gradients(2, [tuple(p.shape[1:]) for p in parameters], torch.float32)):
        optimizer = Stacked(parameters, "adam", [p.dim() > 2 for p in parameters])
        if state is not None:
            optimizer.load_state_dict(state)
        for p, g in zip(parameters, gs, strict=True):
            p.grad = torch.stack([g] * 2)
        optimizer.step(table[step], torch.ones(2, dtype=torch.bool))
        state = {key: [t.clone() for t in value] for key, value in optimizer.state_dict().items()}
    for mine, theirs in zip(parameters, whole, strict=True):
        assert torch.equal(mine[0].detach(), theirs)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
def test_one_number_that_is_not_finite_marks_its_trial_only(wrong: float, together: bool) -> None:
    tensors = [torch.full((3, n), -3e38) for n in (1, 7, 4000)]
    assert finite_rows(tensors, together).tolist() == [True, True, True]
    for tensor in tensors:
        for place in (0, -1):
            tensor[1, place] = wrong
            assert finite_rows(tensors, together).tolist() == [True, False, True]
            tensor[1, place] = 0


def test_the_readmes_stack_steps_each_network_as_torch_optim_does() -> None:
    eta = [1.0, 0.5, 0.25]
    rows = table([Rule("adamw", lr=1e-3, wd=0.1), Rule("adam", lr=1e-2, wd=1e-4)], eta)
    whole = [torch.randn(2, 4, 3), torch.randn(2, 5)]
    parameters = [p.clone().requires_grad_() for p in whole]
    stack = Stacked(parameters, "adam", [True, False])
    single = [[p[i].clone().requires_grad_() for p in whole] for i in range(2)]
    peers = [
        torch.optim.AdamW(single[0], lr=1e-3, weight_decay=0.1),
        torch.optim.Adam(single[1], lr=1e-2, weight_decay=1e-4),
    ]
    bases = [peer.param_groups[0]["lr"] for peer in peers]
    for t, share in enumerate(eta):
        for j, p in enumerate(parameters):
            p.grad = torch.randn(p.shape)
            for i in range(2):
                single[i][j].grad = p.grad[i].clone()
        for peer, base in zip(peers, bases, strict=True):
            peer.param_groups[0]["lr"] = base * share
            peer.step()
        stack.step(rows[t], torch.ones(2, dtype=torch.bool))
    for j, p in enumerate(parameters):
        for i in range(2):
            torch.testing.assert_close(p[i], single[i][j], rtol=1e-5, atol=1e-6)


def test_a_stack_with_schedules_of_its_own_for_each_trial_has_them() -> None:
    rows = table([Rule("adamw", lr=1.0), Rule("adamw", lr=1.0)], np.array([[1.0, 0.5], [0.25, 0.125]]))
    assert rows.shape == (2, 2, COLUMNS, 2)
    assert rows[:, 0, LR].tolist() == [[1.0, 0.25], [0.5, 0.125]]


@pytest.mark.parametrize(("trials", "alive"), [(3, 2), (2, 3), (3, 3)])
def test_rows_and_live_of_another_stack_are_refused(trials: int, alive: int) -> None:
    stack = Stacked([torch.ones(2, 3, requires_grad=True)], "adam", [True])
    with pytest.raises(ValueError, match=r"must end in \(2, 12, 2\) and be \(2,\) for a stack of 2"):
        stack.step(table([Rule("adam", 0.1)] * trials, [1.0])[0], torch.ones(alive, dtype=torch.bool))


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("large", [8, 5000])
def test_gradients_whose_sum_overflows_are_finite_and_the_step_takes_them(trials: int, large: int) -> None:
    """Both as gathered in a row and where they lie."""
    for bad in (None, torch.inf, -torch.inf, torch.nan):
        parameters = [torch.nn.Parameter(torch.ones(trials, size)) for size in (4, large)]
        stacked = Stacked(parameters, "sgd", [True, True])
        for p in parameters:
            p.grad = torch.full_like(p, 3e38)
        if bad is not None:
            parameters[1].grad[-1, -1] = bad
        assert stacked.finite().tolist() == [*[True] * (trials - 1), bad is None]
        rows = table([Rule("sgd", lr=1e-38)] * trials, [1.0])[0]
        stacked.step(rows, stacked.finite())
        for p in parameters:
            torch.testing.assert_close(p[:-1], torch.full_like(p[:-1], -2.0))
            assert bool((p[-1] == 1).all()) == (bad is not None)


@pytest.mark.parametrize("family", ["adam", "sgd"])
def test_a_single_trial_stepped_without_its_trial_axis_ends_in_the_same_bits(family: str) -> None:
    """In other memory, of which the tensors without the axis are views."""
    ends = []
    for read in (False, True):
        g = torch.Generator().manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(1, *size, generator=g)) for size in ((7,), (96, 64), (300, 300))]
        stacked = Stacked(parameters, family, [False, True, True])
        if read:
            stacked.read(lambda these=parameters: [p.detach()[0].requires_grad_() for p in these])
        rule = Rule("adamw" if family == "adam" else "sgdw", lr=1e-2, wd=0.1)
        for row in table([rule], [1.0, 0.5, 0.25]):
            for source, p in zip(stacked.sources, parameters, strict=True):
                source.grad = torch.randn(p.shape[1:], generator=g).view(source.shape)
            assert stacked.finite().tolist() == [True]
            stacked.step(row, torch.ones(1, dtype=torch.bool))
        ends.append([t.detach().clone() for t in (*parameters, *stacked.moments1, *stacked.moments2)])
    assert all(map(torch.equal, *ends))
