"""The optimizers are citizens of torch.optim: what PyTorch promises of its own holds for them."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import optim

Make = Callable[[Any], torch.optim.Optimizer]
OURS: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, 1e-2, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1),
    "AdamW small": lambda p: optim.AdamW(p, 1e-3, weight_decay=1e-3),
    "AdamW torch": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1, release=False),
    "AdamW paper": lambda p: optim.AdamW(p, 1e-2, weight_decay=1e-6, convention="paper"),
    "SGD": lambda p: optim.SGD(p, 1e-2, 0.9, weight_decay=0.1),
    "SGD plain": lambda p: optim.SGD(p, 1e-2),
    "SGDW": lambda p: optim.SGDW(p, 1e-2, 0.9, weight_decay=1e-3),
}
THEIRS: dict[str, Make] = {
    "Adam": lambda p: torch.optim.Adam(p, 1e-2, weight_decay=0.1, fused=True),
    "AdamW torch": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, 1e-2, 0.9, weight_decay=0.1, fused=True),
    "SGD plain": lambda p: torch.optim.SGD(p, 1e-2, fused=True),
}


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=g).to(dtype).requires_grad_() for s in [(3, 16, 2), (5,), (40,), ()]]


def train(
    parameters: list[Tensor], optimizer: torch.optim.Optimizer, first: int, last: int, gaps: bool = False
) -> None:
    """Steps `first` to `last`, with gradients that depend on the step only; with `gaps` some have none at times."""
    for step in range(first, last):
        g = torch.Generator().manual_seed(step)
        for i, p in enumerate(parameters):
            gradient = torch.randn(p.shape, generator=g).to(p.dtype)
            p.grad = None if gaps and step > 2 and (step + i) % 3 == 0 else gradient
        optimizer.step()


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", THEIRS)
def test_the_step_is_torchs_fused_one_to_the_bit(name: str, dtype: torch.dtype, gaps: bool) -> None:
    mine, theirs = weights(dtype), weights(dtype)
    train(mine, OURS[name](mine), 0, 100, gaps)
    train(theirs, THEIRS[name](theirs), 0, 100, gaps)
    assert same(mine, theirs)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("way", ["state_dict", "weights_only file", "pickle", "deepcopy"])
@pytest.mark.parametrize("name", OURS)
def test_a_resumed_run_ends_in_the_same_bits(name: str, way: str, gaps: bool) -> None:
    whole = weights()
    train(whole, OURS[name](whole), 0, 40, gaps)
    mine = weights()
    optimizer = OURS[name](mine)
    train(mine, optimizer, 0, 20, gaps)
    if way == "pickle":
        mine, optimizer = pickle.loads(pickle.dumps((mine, optimizer)))
    elif way == "deepcopy":
        mine, optimizer = copy.deepcopy((mine, optimizer))
    else:
        state = optimizer.state_dict()
        if way == "weights_only file":
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
        old = mine, optimizer
        mine = [p.detach().clone().requires_grad_() for p in mine]
        optimizer = OURS[name](mine)
        optimizer.load_state_dict(state)
        train(*old, 20, 21)  # what was loaded shares no memory with where it came from
    train(mine, optimizer, 20, 40, gaps)
    assert same(mine, whole)


@pytest.mark.parametrize("name", THEIRS)
def test_state_moves_to_torch_optim_and_back(name: str) -> None:
    for before, after in ((OURS[name], THEIRS[name]), (THEIRS[name], OURS[name])):
        whole, mine = weights(), weights()
        train(whole, THEIRS[name](whole), 0, 40)
        first = before(mine)
        train(mine, first, 0, 20)
        second = after(mine)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        train(mine, second, 20, 40)
        for a, b in zip(mine, whole, strict=True):  # torch's loader goes back to its unfused step
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        third = before(mine)
        third.load_state_dict(copy.deepcopy(second.state_dict()))
        train(mine, third, 40, 41)
        if name.startswith("Adam"):
            assert [s["step"].item() for s in third.state_dict()["state"].values()] == [41] * len(mine)


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


@pytest.mark.parametrize("name", OURS)
def test_a_state_replaced_from_outside_is_the_one_stepped(name: str) -> None:
    whole, mine = weights(), weights()
    train(whole, OURS[name](whole), 0, 10)
    optimizer = OURS[name](mine)
    train(mine, optimizer, 0, 5)
    for state in optimizer.state.values():
        for key, value in state.items():
            if isinstance(value, Tensor):
                state[key] = value.clone()
    train(mine, optimizer, 5, 10)
    assert same(mine, whole)


@pytest.mark.parametrize(
    ("parameter", "what"),
    [
        (torch.zeros(3, dtype=torch.float16), "float16"),
        (torch.zeros(3, dtype=torch.bfloat16), "bfloat16"),
        (torch.zeros(3, dtype=torch.complex64), "complex64"),
        (torch.zeros(3, device="meta"), "meta"),
        (torch.zeros(3, 3).to_sparse(), "sparse"),
    ],
)
@pytest.mark.parametrize("name", OURS)
def test_what_is_not_served_is_refused_in_one_line(name: str, parameter: Tensor, what: str) -> None:
    with pytest.raises(TypeError, match=what) as refusal:
        OURS[name]([parameter.clone().requires_grad_()])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", OURS)
def test_sparse_gradients_are_refused(name: str) -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = OURS[name](embedding.parameters())
    embedding(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(TypeError, match="sparse"):
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: optim.AdamW(p, lr=-1.0), "lr"),
        (lambda p: optim.AdamW(p, lr=torch.tensor(0.1)), "lr"),
        (lambda p: optim.AdamW(p, betas=(1.0, 0.9)), "betas"),
        (lambda p: optim.Adam(p, eps=-1.0), "eps"),
        (lambda p: optim.SGD(p, weight_decay=-1.0), "weight_decay"),
        (lambda p: optim.SGD(p, momentum=-1.0), "momentum"),
        (lambda p: optim.AdamW(p, convention="l2"), "convention"),
        (lambda p: optim.AdamW(p, lr=0.0, convention="paper"), "lr"),
        (lambda p: optim.Adam([{"params": p, "amsgrad": True}]), "amsgrad"),
        (lambda p: optim.SGD([{"params": p, "nesterov": True}]), "nesterov"),
        (lambda p: optim.Adam(p).load_state_dict(torch.optim.AdamW(p).state_dict()), "decoupled_weight_decay"),
        (lambda p: optim.Adam(p).load_state_dict(torch.optim.Adam(p, amsgrad=True).state_dict()), "amsgrad"),
        (lambda p: optim.AdamW(p).load_state_dict(optim.AdamW(p[:1]).state_dict()), "size"),
        (lambda p: optim.AdamW([]), "empty"),
    ],
)
def test_bad_options_are_refused_by_name(make: Make, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        make(weights())


@pytest.mark.parametrize("option", ["maximize", "foreach", "capturable", "fused", "amsgrad"])
def test_options_of_torch_that_are_not_served_are_unknown(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        optim.AdamW(weights(), **{option: True})  # type: ignore[arg-type]


def test_named_parameters_keep_their_names() -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.AdamW(model.named_parameters())
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_decay_of_parameters_stepped_at_different_times_is_each_its_own() -> None:
    p = [torch.ones(64, requires_grad=True) for _ in range(2)]
    optimizer = optim.SGDW(p, 1.0, weight_decay=2.0**-20)
    for step in range(3000):
        p[0].grad, p[1].grad = torch.zeros(64), torch.zeros(64) if step % 2 else None
        optimizer.step()
    optimizer.release_decay()
    for q, steps in zip(p, (3000, 1500), strict=True):
        torch.testing.assert_close(q.detach(), torch.full((64,), (1 - 2.0**-20) ** steps), rtol=2e-6, atol=0)


def test_a_state_dict_of_torch_before_its_first_step_loads() -> None:
    p = weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = OURS["AdamW"](p)
        optimizer.load_state_dict(THEIRS["AdamW torch"](p).state_dict())
        train(p, optimizer, 0, 1)


def test_conventions_and_rules_import_no_torch() -> None:
    code = "import sys, optim, optim.rules, optim.conventions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_agrees_with_optax_over_100_steps() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed: pip install jax optax")
    optax = pytest.importorskip("optax", reason="optax is not installed: pip install jax optax")
    start = torch.randn(50, generator=torch.Generator().manual_seed(0))
    theirs = jax.numpy.asarray(start.numpy())
    transform = optax.adamw(1e-2, 0.8, 0.99, 1e-8, weight_decay=0.1)
    state = transform.init(theirs)
    mine = [start.clone().requires_grad_()]
    optimizer = optim.AdamW(mine, 1e-2, (0.8, 0.99), weight_decay=0.1)
    for step in range(100):
        g = torch.randn(50, generator=torch.Generator().manual_seed(step))
        mine[0].grad = g.clone()
        optimizer.step()
        updates, state = transform.update(jax.numpy.asarray(g.numpy()), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        torch.testing.assert_close(mine[0].detach(), torch.tensor(theirs.tolist()), rtol=2e-5, atol=1e-6)
