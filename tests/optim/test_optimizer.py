"""The optimizers are citizens of torch.optim: what PyTorch promises of its own holds for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import optim
from tests.optim.citizens import OURS, THEIRS, same, train, weights


def test_a_group_keeps_its_own_options_and_new_groups_join() -> None:
    mine, theirs = weights(), weights()
    optimizers = []
    for p, make in ((mine, optim.AdamW), (theirs, torch.optim.AdamW)):
        extra: dict[str, Any] = {"release": False} if make is optim.AdamW else {"fused": True}
        groups = [{"params": p[:1], "lr": 0.1, "betas": (0.5, 0.9)}, {"params": p[1], "weight_decay": 0.0}]
        optimizer = make(groups, lr=1e-3, weight_decay=0.3, **extra)
        train(p[:2], optimizer, 0, 5)
        optimizer.add_param_group({"params": p[2:], "eps": 1e-3})
        train(p, optimizer, 5, 15)
        optimizers.append(optimizer)
    assert same(mine, theirs)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizers[0].add_param_group({"params": mine[:1]})


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.3),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "lambda from zero": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda i: min(1.0, i / 10)),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1e-2, 30),
    "chained": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 5), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)],
        milestones=[5],
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("name", THEIRS)
def test_torchs_schedulers_drive_it(name: str, schedule: str) -> None:
    if name == "SGD plain" and schedule == "one cycle":
        pytest.skip("this scheduler cycles the momentum, which plain SGD does not have in torch.optim either")
    ends = []
    for make in (OURS[name], THEIRS[name]):
        p = weights()
        optimizer = make(p)
        scheduler = SCHEDULERS[schedule](optimizer)
        for step in range(25):
            train(p, optimizer, step, step + 1)
            scheduler.step()
        ends.append(p)
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_in_the_papers_convention_decay_follows_the_schedule_whatever_the_rate() -> None:
    found = []
    for lr in (1e-9, 1e-7):
        p = [torch.ones(8, requires_grad=True)]
        optimizer = optim.AdamW(p, lr, weight_decay=1e-2, convention="paper")
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / 50)
        for step in range(50):
            train(p, optimizer, step, step + 1)
            scheduler.step()
        found.append(p[0].detach())
    expected = torch.ones(8, dtype=torch.float64)
    for i in range(50):
        expected *= 1 - 1e-2 * (1 - i / 50)
    for p_ in found:
        torch.testing.assert_close(p_.double(), expected, rtol=2e-5, atol=0)


@pytest.mark.parametrize("name", OURS)
def test_a_closure_is_run_with_gradients_and_its_loss_returned(name: str) -> None:
    p = weights()
    optimizer = OURS[name](p)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum(((q - 1) ** 2).sum() for q in p)
        assert isinstance(loss, Tensor)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]
    assert isinstance(optimizer.step(closure), Tensor)


@pytest.mark.parametrize("name", OURS)
def test_zero_grad_both_ways_and_parameters_without_gradient_are_left_alone(name: str) -> None:
    p = weights()
    optimizer = OURS[name](p)
    train(p, optimizer, 0, 1)
    optimizer.zero_grad(set_to_none=False)
    assert all(q.grad is not None and not q.grad.any() for q in p)
    optimizer.zero_grad()
    before = [q.detach().clone() for q in p]
    optimizer.step()
    assert same(p, before)


def test_clip_grad_norm_works_beforehand() -> None:
    ends = []
    for make in (OURS["SGD"], THEIRS["SGD"]):
        p = weights()
        optimizer = make(p)
        for step in range(5):
            for i, q in enumerate(p):
                q.grad = torch.full_like(q, 10.0 + i + step)
            nn.utils.clip_grad_norm_(p, 1.0)
            optimizer.step()
        ends.append(p)
    assert same(*ends)


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("name", ["AdamW torch", "SGD"])
def test_grad_scaler_scales_and_skips_a_step_with_inf(name: str, unscale: bool) -> None:
    ends = []
    for make in (OURS[name], THEIRS[name]):
        torch.manual_seed(0)
        p = [torch.randn(16, requires_grad=True)]
        optimizer = make(p)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        for step in range(8):
            optimizer.zero_grad()
            before = p[0].detach().clone()
            factor = float("inf") if step == 4 else 1.0
            scaler.scale((p[0] ** 2).sum() * factor).backward()
            if unscale:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(p, 1.0)
            scaler.step(optimizer)
            scaler.update()
            assert torch.equal(before, p[0].detach()) == (step == 4)
        ends.append(p)
    assert same(*ends)


def test_hooks_run_around_the_step() -> None:
    p = weights()
    optimizer, seen = OURS["AdamW"](p), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(p, optimizer, 0, 2)
    assert seen == ["before", "after"] * 2
    everywhere = register_optimizer_step_post_hook(lambda *_: seen.append("everywhere"))
    train(p, optimizer, 2, 3)
    everywhere.remove()
    train(p, optimizer, 3, 4)
    assert seen[4:] == ["before", "after", "everywhere", "before", "after"]


def test_a_profile_shows_the_step_by_name() -> None:
    p = weights()
    optimizer = OURS["AdamW"](p)
    with torch.profiler.profile() as profile:
        train(p, optimizer, 0, 1)
    assert "Optimizer.step#AdamW.step" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("name", OURS)
def test_parameters_stay_where_they_are(name: str) -> None:
    p = weights()
    held, places = list(p), [q.data_ptr() for q in p]
    optimizer = OURS[name](p)
    train(p, optimizer, 0, 3)
    assert [q.data_ptr() for q in p] == places
    assert all(a is b for a, b in zip(held, optimizer.param_groups[0]["params"], strict=True))


@pytest.mark.parametrize("gradient", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_the_layout_of_a_parameter_and_its_gradient_does_not_matter(name: str, gradient: torch.memory_format) -> None:
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        p = torch.randn(4, 3, 2, 5).to(memory_format=layout).requires_grad_()
        optimizer = OURS[name]([p])
        for _ in range(5):
            p.grad = torch.randn(4, 3, 2, 5).to(memory_format=gradient)
            optimizer.step()
        assert p.is_contiguous(memory_format=layout)
        ends.append(p.detach())
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-7)


def test_conventions_and_rules_import_no_torch() -> None:
    code = "import sys, optim, optim.rules, optim.conventions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [8, 10_000])
def test_a_step_leaves_torchs_threads_as_they_were(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        p = torch.randn(size, requires_grad=True)
        p.grad = torch.randn(size)
        optimizer = optim.AdamW([p])
        optimizer.step()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(torch, "_fused_adamw_", lambda *lists, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_parameters_and_state_stay_ordinary_tensors_that_autograd_can_use() -> None:
    p = torch.randn(5, 4).t().requires_grad_()
    optimizer = optim.AdamW([p])
    for _ in range(2):
        optimizer.zero_grad()
        (p * torch.randn(4, 5)).sum().backward()
        optimizer.step()
    state = optimizer.state[p]
    assert not any(t.is_inference() for t in (p, p.grad, state["exp_avg"], state["exp_avg_sq"], state["step"]))
    assert torch.autograd.grad((p * state["exp_avg"]).sum(), p)[0] is not None
