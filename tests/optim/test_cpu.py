"""A stack's fast step on the CPU is torch's fused optimizer for each trial, whoever else is in the stack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from optim.cpu_rows import GATHERED
from optim.rules import Rule, coefficients
from optim.stacked import Stacked

STEPS = 40
SHAPES = [(8, 16, 3, 3), (32,), (7, 5), (64, 80), (GATHERED + 5,)]  # gathered and in place, whole vectors and not
ADAMS = [
    Rule("adamw", 1e-3, 0.1),
    Rule("adam", 1e-2, 0.1, beta1=0.5, beta2=0.99),
    Rule("adamw", 3e-3, 0.0),
    Rule("adamw", 1e-2, 1e-2, eps=1e-6, decay_all=False),
    Rule("adam", 1e-2, 0.0, beta1=0.0),
]
SGDS = [Rule("sgd", 1e-2, 0.1), Rule("sgdw", 1e-2, 0.1), Rule("sgd", 0.1, 0.0, beta1=0.0)]


def trained(
    rules: list[Rule],
    eta: np.ndarray | None = None,
    frozen: int | None = None,
    dtype: torch.dtype = torch.float32,
    steps: int = STEPS,
) -> list[list[Tensor]]:
    """[trial][tensor] after STEPS steps on the same gradients for each trial; `frozen` rests from step 10 on."""
    g = torch.Generator().manual_seed(0)
    eta = np.ones(STEPS) if eta is None else eta
    parameters = [torch.stack([torch.randn(s, generator=g)] * len(rules)).to(dtype).requires_grad_() for s in SHAPES]
    stack = Stacked(parameters, rules[0].family, [len(s) > 1 for s in SHAPES])
    rows = np.stack([coefficients(r, np.arange(STEPS) + 1, eta, np.ones(STEPS)) for r in rules], -1)
    live = torch.ones(len(rules), dtype=torch.bool)
    for step in range(steps):
        for p, s in zip(parameters, SHAPES, strict=True):
            p.grad = torch.stack([torch.randn(s, generator=g).to(dtype)] * len(rules))
        if frozen is not None and step >= 10:
            live[frozen] = False
            for p in parameters:
                assert p.grad is not None
                p.grad[frozen] = torch.nan
        stack.step(torch.from_numpy(rows[step]), live)
    return [[p[i].detach() for p in parameters] for i in range(len(rules))]


def torch_alone(rule: Rule) -> list[Tensor]:
    """The same under torch.optim, fused."""
    g = torch.Generator().manual_seed(0)
    parameters = [torch.randn(s, generator=g).requires_grad_() for s in SHAPES]
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    spared = rule.wd if rule.decay_all else 0.0
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": rule.wd},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": spared},
    ]
    extra = {"momentum": rule.beta1} if rule.family == "sgd" else {"betas": (rule.beta1, rule.beta2), "eps": rule.eps}
    optimizer = kinds[rule.optimizer](groups, lr=rule.lr, fused=True, **extra)
    for _ in range(STEPS):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=g)
        optimizer.step()
    return [p.detach() for p in parameters]


@pytest.mark.parametrize("rules", [ADAMS, [r for r in SGDS if r.optimizer == "sgd"]], ids=["adam", "sgd"])
def test_every_trial_of_a_mixed_stack_is_torchs_fused_optimizer(rules: list[Rule]) -> None:
    for rule, found in zip(rules, trained(rules), strict=True):
        for mine, theirs in zip(found, torch_alone(rule), strict=True):
            if mine.numel() % 32 == 0:  # bits; elsewhere torch ends a tensor with scalars in double precision
                assert torch.equal(mine, theirs)
            torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rules", [ADAMS, SGDS], ids=["adam", "sgd"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_trial_has_the_same_bits_in_a_stack_of_any_width(rules: list[Rule], threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = trained(rules * 3)
        for chosen in ([0], [1, 2], [2, 0, 1, 1, 0]):
            for place, found in zip(chosen, trained([rules[i] for i in chosen]), strict=True):
                assert all(torch.equal(a, b) for a, b in zip(found, together[place], strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rules", [ADAMS, SGDS], ids=["adam", "sgd"])
def test_the_fast_way_is_the_plain_way_of_float64_to_rounding(rules: list[Rule]) -> None:
    eta = np.linspace(1, 0, STEPS)
    for fast, plain in zip(trained(rules, eta), trained(rules, eta, dtype=torch.float64), strict=True):
        for a, b in zip(fast, plain, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("rules", [ADAMS, SGDS], ids=["adam", "sgd"])
def test_a_frozen_trial_with_nan_gradients_keeps_its_bits_and_disturbs_nobody(rules: list[Rule]) -> None:
    whole, found, until = trained(rules), trained(rules, frozen=1), trained(rules, steps=10)
    for trial, tensors in enumerate(found):
        expected = until[1] if trial == 1 else whole[trial]
        assert all(torch.equal(a, b) for a, b in zip(tensors, expected, strict=True))


@pytest.mark.parametrize("name", ["adamw", "sgdw"])
def test_at_rate_zero_weights_still_decay_and_moments_still_move(name: str) -> None:
    p = torch.ones(2, 40, requires_grad=True)
    stack = Stacked([p], Rule(name, 1.0).family, [True])
    rows = coefficients(Rule(name, 0.0, 2.0**-5, "paper"), np.ones(1), np.ones(1), np.ones(1))
    p.grad = torch.ones(2, 40)
    stack.step(torch.from_numpy(np.repeat(rows[0][..., None], 2, -1)), torch.tensor([True, True]))
    assert bool((p == 1 - 2.0**-5).all())
    assert bool((stack.moments1[0] > 0).all())


def test_scale_multiplies_the_gradients_of_its_trial() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(3, 50), torch.randn(3, 50)
    scale = torch.tensor([1.0, 0.5, 0.0])
    rows = coefficients(Rule("sgd", 0.1), np.ones(1), np.ones(1), np.ones(1))
    p = start.clone().requires_grad_()
    p.grad = gradient.clone()
    stack = Stacked([p], "sgd", [True])
    stack.step(torch.from_numpy(np.repeat(rows[0][..., None], 3, -1)), torch.ones(3, dtype=torch.bool), scale)
    torch.testing.assert_close(p.detach(), start - 0.1 * scale[:, None] * gradient)


def test_weights_written_behind_the_optimizers_back_are_what_is_stepped() -> None:
    p = torch.zeros(2, 8, requires_grad=True)
    stack = Stacked([p], "sgd", [True])
    rows = coefficients(Rule("sgd", 0.5), np.ones(1), np.ones(1), np.ones(1))
    for start in (1.0, 7.0):
        p.data.fill_(start)
        p.grad = torch.ones(2, 8)
        stack.step(torch.from_numpy(np.repeat(rows[0][..., None], 2, -1)), torch.tensor([True, False]))
        assert p[0, 0].item() < start == p[1, 0].item()


def test_gradients_in_any_layout_are_read_by_their_strides() -> None:
    torch.manual_seed(0)
    shape = (3, 80, 60)  # in place; its neighbour is gathered
    ends = []
    for transposed in (False, True):
        torch.manual_seed(0)
        parameters = [torch.ones(shape, requires_grad=True), torch.ones(3, 4, 5, requires_grad=True)]
        stack = Stacked(parameters, "sgd", [True, True])
        for p in parameters:
            g = torch.randn(p.shape)
            p.grad = g.transpose(1, 2).contiguous().transpose(1, 2) if transposed else g
        rows = coefficients(Rule("sgd", 0.1), np.ones(1), np.ones(1), np.ones(1))
        stack.step(torch.from_numpy(np.repeat(rows[0][..., None], 3, -1)), torch.ones(3, dtype=torch.bool))
        ends.append([p.detach() for p in parameters])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("rule", [Rule("adamw", 0.1, 0.1), Rule("sgd", 0.1, 0.1)], ids=["adamw", "sgd"])
def test_weights_laid_out_channels_last_take_the_same_step_to_the_bit(rule: Rule) -> None:
    ends = []
    for last in (False, True):
        torch.manual_seed(0)
        start = [torch.randn(3, 32, 16, 3, 3), torch.randn(3, 8, 4, 3, 3)]  # in place; its neighbour is gathered
        if last:
            start = [p.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) for p in start]
        parameters = [p.requires_grad_() for p in start]
        stack = Stacked(parameters, rule.family, [True, True])
        assert stack._rows is not None
        table = torch.from_numpy(np.stack([coefficients(rule, np.arange(2) + 1, np.ones(2), np.ones(2))] * 3, -1))
        for rows in table:
            for p in parameters:
                p.grad = torch.randn(p.shape)  # once laid out as the weights are, once not
            stack.step(rows, torch.tensor([True, False, True]))
        ends.append([*parameters, *stack.moments1, *stack.moments2])
    assert all(torch.equal(a.detach(), b.detach()) for a, b in zip(*ends, strict=True))
