"""What PyTorch tests of every optimizer of its own holds for each class here; `promises` has the table and the rest."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau, StepLR

from tests.optim.promises import EACH, INFOS, Info

each = pytest.mark.parametrize(("info", "options"), EACH)
of_all = pytest.mark.parametrize("info", INFOS, ids=str)


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid()).to(dtype)


def train(model: nn.Module, optimizer: Any, steps: int, first: int = 0) -> list[Tensor]:
    """Weights after each step."""
    dtype, path = next(model.parameters()).dtype, []
    for step in range(first, first + steps):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step), dtype=torch.float32).to(dtype)
        optimizer.zero_grad()
        (model(x) - 0.3).square().sum().backward()
        optimizer.step()
        path.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))
    return path


@pytest.mark.parametrize(("info", "options"), [(info, options) for info, options in EACH if info.theirs])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_steps_as_the_for_loop(info: Info, options: dict[str, Any], dtype: torch.dtype) -> None:
    assert info.theirs is not None, "`torch_sides` builds one for those of which torch.optim has none"
    mine, theirs = network(dtype), network(dtype)
    path = train(mine, info.make(mine.parameters(), **options), 12)
    wanted = train(theirs, info.theirs(theirs.parameters(), foreach=False, **options), 12)
    for a, b in zip(path, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6)


@each
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("scheduled", [True, False])
def test_it_goes_in_the_right_direction(info: Info, options: dict[str, Any], contiguous: bool, scheduled: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(10, 5) if contiguous else torch.randn(10, 5, 2)[..., 0].contiguous().t().contiguous().t()
    weight, bias, x = weight.requires_grad_(), torch.randn(10, requires_grad=True), torch.randn(5)
    optimizer = info.make([weight, bias], **options)
    schedules: list[Any] = [StepLR(optimizer, 10, 0.9), ReduceLROnPlateau(optimizer)] if scheduled else []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).square().sum()
        loss.backward()
        return loss

    first = float((weight.mv(x) + bias).square().sum().detach())
    for _ in range(20):
        loss = optimizer.step(closure)
        for schedule in schedules:
            schedule.step(loss.detach()) if isinstance(schedule, ReduceLROnPlateau) else schedule.step()
    assert float((weight.mv(x) + bias).square().sum().detach()) < first


@of_all
def test_groups_have_their_own_rate_and_decay(info: Info) -> None:
    ends = {}
    for lr, decay in ((0.0, 0.0), (0.01, 0.0), (0.01, 0.5)):
        model = network()
        optimizer = info.make([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.01)
        optimizer.param_groups[1].update({"lr": lr, "weight_decay": decay})
        train(model, optimizer, 5)
        ends[lr, decay] = model
    start = network()
    assert torch.equal(ends[0.0, 0.0][2].weight, start[2].weight)
    assert not torch.equal(ends[0.01, 0.0][2].weight, start[2].weight)
    assert not torch.equal(ends[0.01, 0.5][2].weight, ends[0.01, 0.0][2].weight)
    assert not torch.equal(ends[0.0, 0.0][0].weight, start[0].weight)


@of_all
@pytest.mark.parametrize("key", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "0.1", None])
def test_a_value_that_is_no_number_of_0_or_more_is_refused_by_name(info: Info, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{key}="):
        info.make([torch.ones(2, requires_grad=True)], **{key: value})


@of_all
@pytest.mark.parametrize(
    ("params", "says"),
    [
        (list, "empty"),
        (lambda: torch.ones(2, requires_grad=True), "iterable"),
        (lambda: [2.0], "Tensor"),
        (lambda: [torch.ones(2, requires_grad=True) * 2], "leaf"),
        (lambda: [{"params": []}, 5], "dict"),
        (lambda: [torch.ones(2, dtype=torch.complex64, requires_grad=True)], "complex64"),
    ],
)
def test_parameters_that_torch_or_it_does_not_take_are_refused(info: Info, params: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"(?i){says}"):
        info.make(params(), lr=0.01)


@of_all
def test_a_parameter_in_two_groups_or_twice_in_one_is_refused(info: Info) -> None:
    p = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="more than one parameter group"):
        info.make([{"params": [p]}, {"params": [p]}], lr=0.01)
    with pytest.warns(UserWarning, match="duplicate"), pytest.raises(ValueError, match="occurs twice"):
        info.make([{"params": [p, p]}], lr=0.01)


@of_all
def test_nothing_happens_to_parameters_without_gradient_and_a_zero_gradient_at_rest_moves_nothing(info: Info) -> None:
    p, other = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    optimizer = info.make([p, other], lr=0.01, weight_decay=0.0)
    other.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(p.detach(), torch.ones(3))
    assert torch.equal(other.detach(), torch.ones(3))
    assert not optimizer.state.get(p)


@each
def test_it_can_be_printed_with_its_options(info: Info, options: dict[str, Any]) -> None:
    optimizer = info.make(network().parameters(), **options)
    for key, value in options.items():
        assert f"{key}: {value}" in repr(optimizer)


@each
def test_a_state_dict_continues_to_the_bit_through_a_file_of_weights_only(info: Info, options: dict[str, Any]) -> None:
    whole, model = network(), network()
    wanted = train(whole, info.make(whole.parameters(), **options), 9)
    optimizer = info.make(model.parameters(), **options)
    train(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = network()
    again.load_state_dict(saved["model"])
    restored = info.make(again.parameters(), lr=0.5)
    restored.load_state_dict(saved["optimizer"])
    assert torch.equal(train(again, restored, 5, first=4)[-1], wanted[-1])
    assert restored.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@of_all
def test_a_state_dict_is_not_changed_by_loading_it_nor_by_the_steps_that_follow(info: Info) -> None:
    model = network()
    optimizer = info.make(model.parameters(), lr=0.01)
    train(model, optimizer, 3)
    state = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(state)
    optimizer.load_state_dict(state)
    train(model, optimizer, 3)
    assert state["param_groups"] == before["param_groups"]
    torch.testing.assert_close(state["state"], before["state"], rtol=0, atol=0)


@of_all
def test_steps_that_are_plain_numbers_in_a_file_go_on(info: Info) -> None:
    model, other = network(), network()
    optimizer, second = info.make(model.parameters(), lr=0.01), info.make(other.parameters(), lr=0.01)
    train(model, optimizer, 4)
    train(other, second, 4)
    state = optimizer.state_dict()
    for entries in state["state"].values():
        if "step" in entries:
            entries["step"] = int(entries["step"])
    optimizer.load_state_dict(state)
    assert torch.equal(train(model, optimizer, 3, 4)[-1], train(other, second, 3, 4)[-1])


@of_all
def test_named_parameters_keep_their_names_and_load_from_unnamed_ones(info: Info) -> None:
    model, other = network(), network()
    optimizer = info.make(model.named_parameters(), lr=0.01)
    train(model, optimizer, 2)
    names = [name for name, _ in model.named_parameters()]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == names
    unnamed = info.make(other.parameters(), lr=0.01)
    train(other, unnamed, 2)
    optimizer.load_state_dict(unnamed.state_dict())
    assert optimizer.param_groups[0]["param_names"] == names
    train(model, optimizer, 2, 2)


@of_all
def test_a_copy_steps_by_itself(info: Info) -> None:
    model = network()
    optimizer = info.make(model.parameters(), lr=0.01)
    train(model, optimizer, 2)
    twin, second = copy.deepcopy((model, optimizer))
    before = [p.detach().clone() for p in model.parameters()]
    if info.steps_in_backward:
        return  # the copy's parameters are hooked by no one: `test_lomo`
    train(twin, second, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    assert torch.equal(train(model, optimizer, 2, 2)[-1], torch.cat([p.detach().flatten() for p in twin.parameters()]))


@of_all
def test_a_scheduler_of_one_group_of_two_drives_that_one(info: Info) -> None:
    model = network()
    optimizer = info.make([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.0}], lr=0.01)
    schedule = ExponentialLR(optimizer, 0.5)
    train(model, optimizer, 1)
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.005, 0.0]


@of_all
def test_under_another_default_dtype_it_steps_the_same(info: Info) -> None:
    ends = []
    for default in (torch.float32, torch.float64):
        model = network(torch.float32)
        torch.set_default_dtype(default)
        try:
            ends.append(train(model, info.make(model.parameters(), lr=0.01), 4)[-1])
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*ends)
