"""What is odd is done as torch.optim does it, or refused in one line before anything moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import optim
from tests.optim.citizens import OURS, Make, weights

STATEFUL = {name: make for name, make in OURS.items() if name != "SGD plain"}
SPARSE: dict[str, Make] = OURS | {"SparseAdamW": lambda p: optim.SparseAdamW(p, 1e-2)}


def two_groups(make: Make) -> tuple[Any, Tensor, Tensor]:
    """An optimizer that has stepped `first`, of its first group, and `second`; gradients are there again."""
    first, second = torch.ones(4, requires_grad=True), torch.ones(3, requires_grad=True)
    optimizer = make([{"params": [first]}, {"params": [second]}])
    for _ in range(2):
        first.grad, second.grad = torch.ones(4), torch.ones(3)
        optimizer.step()
    first.grad, second.grad = torch.ones(4), torch.ones(3)
    return optimizer, first, second


def assert_refused(optimizer: Any, first: Tensor, error: type[Exception], says: str) -> None:
    before = first.detach().clone()
    with pytest.raises(error, match=says) as refusal:
        optimizer.step()
    assert "\n" not in str(refusal.value)
    assert torch.equal(first.detach(), before)


@pytest.mark.parametrize("name", OURS)
def test_a_sparse_gradient_from_the_third_step_on_is_refused_before_any_group_moves(name: str) -> None:
    optimizer, first, second = two_groups(OURS[name])
    second.grad = torch.ones(3).to_sparse()
    assert_refused(optimizer, first, TypeError, "sparse")


@pytest.mark.parametrize("name", STATEFUL)
def test_parameters_whose_type_was_changed_are_refused_before_any_group_moves(name: str) -> None:
    optimizer, first, second = two_groups(STATEFUL[name])
    second.data, second.grad = second.data.double(), None
    second.grad = torch.ones(3, dtype=torch.float64)
    assert_refused(optimizer, first, ValueError, "float32.*float64|float64.*float32")


@pytest.mark.parametrize("name", STATEFUL)
def test_moments_of_another_size_are_refused_by_name(name: str) -> None:
    optimizer, first, second = two_groups(STATEFUL[name])
    key = next(key for key in optimizer.state[second] if key in ("exp_avg", "momentum_buffer"))
    optimizer.state[second][key] = torch.zeros(7)
    assert_refused(
        optimizer, first, ValueError, f"{key} of parameter 0 of group 1 is .*7.*delete the parameter's state"
    )


@pytest.mark.parametrize("name", [name for name in SPARSE if "Adam" in name])
def test_a_state_without_its_count_or_of_another_class_is_refused(name: str) -> None:
    optimizer, first, second = two_groups(SPARSE[name])
    step = optimizer.state[second].pop("step")
    assert_refused(optimizer, first, ValueError, "no step")
    optimizer.state[second] = {"step": step, "momentum_buffer": torch.zeros(3)}
    assert_refused(optimizer, first, ValueError, "no exp_avg")


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
@pytest.mark.parametrize("name", SPARSE)
def test_a_number_that_a_schedule_made_nan_is_refused_by_name(name: str, key: str) -> None:
    optimizer, first, _ = two_groups(SPARSE[name])
    optimizer.param_groups[1][key] = float("nan")
    assert_refused(optimizer, first, ValueError, f"{key}=nan" if name != "SparseAdamW" else "nan")


@pytest.mark.parametrize("name", OURS)
def test_a_gradient_that_is_to_be_negated_when_it_is_read_is(name: str) -> None:
    ends = []
    for make in (lambda g: torch._neg_view(-g), lambda g: g):
        p = weights()
        optimizer = OURS[name](p)
        for step in range(3):
            for q in p:
                q.grad = make(torch.full_like(q, 0.5 + step))
            optimizer.step()
        ends.append(p)
    for a, b in zip(*ends, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", OURS)
def test_parameters_with_gaps_or_without_memory_are_refused_when_they_are_given(name: str) -> None:
    with pytest.raises(TypeError, match="gaps"):
        OURS[name]([torch.ones(6)[::2].requires_grad_()])
    with pytest.raises(TypeError, match="overlaps"):
        OURS[name]([torch.ones(1).expand(4).detach().requires_grad_()])
    with FakeTensorMode(), pytest.raises(TypeError, match="FakeTensor"):
        OURS[name]([torch.ones(3, requires_grad=True)])


@pytest.mark.parametrize("betas", [(0.9, torch.tensor(0.99)), (0.9, 0.99, 0.999), (0.9,), 0.9, (0.9, 1.0)])
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW, optim.SparseAdamW])
def test_betas_that_are_not_two_numbers_below_1_are_refused_when_they_are_given(kind: Any, betas: Any) -> None:
    with pytest.raises(ValueError, match="betas="):
        kind(weights(), betas=betas)


@pytest.mark.parametrize("name", SPARSE)
def test_notes_in_the_state_and_hooks_that_return_a_dict_are_kept_as_torch_keeps_them(name: str) -> None:
    optimizer, _, _ = two_groups(SPARSE[name])
    optimizer.state["note"] = 1
    assert optimizer.state_dict()["state"]["note"] == 1
    optimizer.register_state_dict_post_hook(lambda _, state: {"inside": state})
    saved = optimizer.state_dict()
    assert list(saved) == ["inside"]
    optimizer.register_load_state_dict_pre_hook(lambda _, state: state["inside"])
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] != 0.5
    optimizer.step()


def test_lookaheads_hooks_run_and_see_its_own_file() -> None:
    p = weights()
    optimizer, seen = optim.Lookahead(OURS["AdamW"](p), 2), []
    optimizer.register_step_post_hook(lambda *_: seen.append("step"))
    optimizer.register_state_dict_pre_hook(lambda *_: seen.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda _, state: seen.append(sorted(state)))
    optimizer.register_load_state_dict_post_hook(lambda *_: seen.append("loaded"))
    for q in p:
        q.grad = torch.ones_like(q)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["step", "before saving", ["param_groups", "state"], "loaded"]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (optim.AdamW, lambda p: torch.optim.SGD(p, 0.1, 0.9)),
        (optim.SparseAdamW, lambda p: torch.optim.SGD(p, 0.1, 0.9)),
        (lambda p: optim.SGD(p, 0.1, 0.9), torch.optim.AdamW),
        (lambda p: optim.SGDW(p, 0.1, 0.9), torch.optim.Adam),
        (lambda p: optim.SGD(p, 0.1, 0.9), lambda p: optim.SGDW(p, 0.1, 0.9)),
    ],
)
def test_a_file_of_another_class_is_refused_with_the_reason_and_changes_nothing(mine: Make, theirs: Make) -> None:
    p = weights()
    other, optimizer = theirs(p), mine(p)
    for q in p:
        q.grad = torch.ones_like(q)
    other.step()
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"not that of optim|not served by optim") as refusal:
        optimizer.load_state_dict(other.state_dict())
    assert "\n" not in str(refusal.value)
    assert str(optimizer.state_dict()) == before
