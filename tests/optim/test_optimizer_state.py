"""The optimizers step as torch's, and their state goes on anywhere: later, in a copy, in torch.optim."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn

import optim
from tests.optim.citizens import OURS, THEIRS, same, train, weights


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
    assert [float(optimizer.state[q]["step"]) for q in p] == [1.0] * len(p)


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
