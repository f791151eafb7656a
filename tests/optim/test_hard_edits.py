"""Edits that no list or dict shows: other data in the tensors of a state, late options, interrupts, shared states."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

import optim
from optim import cpu
from optim.base import numbers
from tests.optim.citizens import OURS

MOMENTS = {"AdamW": "exp_avg_sq", "Adam": "exp_avg", "SGD": "momentum_buffer", "SGDW": "momentum_buffer"}
KINDS: dict[str, tuple[Any, Any]] = {
    "AdamW": (lambda p: optim.AdamW(p, 0.1, release=False), lambda p: torch.optim.AdamW(p, 0.1)),
    "SGD": (lambda p: optim.SGD(p, 0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
}


def stepped(make: Any, *shape: int) -> tuple[Any, Tensor]:
    """An optimizer after two steps of one parameter, whose gradient is there again."""
    p = torch.ones(shape, requires_grad=True)
    optimizer = make([p])
    for step in range(2):
        p.grad = torch.arange(float(p.numel())).reshape(shape) + step
        optimizer.step()
    return optimizer, p


@pytest.mark.parametrize("other", [torch.zeros(3), torch.zeros(1).expand(300), torch.zeros(300).double()])
@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_with_data_of_another_kind_is_refused_or_read_as_it_lies(name: str, other: Tensor) -> None:
    optimizer, p = stepped(OURS[name], 300)
    optimizer.state[p][MOMENTS[name]].data = other.clone() if other.dtype is not torch.float32 else other
    before = p.detach().clone()
    if other.shape == p.shape and other.dtype is p.dtype:
        optimizer.step()
        assert optimizer.state[p][MOMENTS[name]].is_contiguous()
        return
    with pytest.raises(ValueError, match=f"{MOMENTS[name]} of parameter 0 of group 0 is"):
        optimizer.step()
    assert torch.equal(p.detach(), before)


@pytest.mark.parametrize("name", KINDS)
def test_a_moment_whose_data_lies_otherwise_is_paired_with_the_weights_that_it_belongs_to(name: str) -> None:
    ends = []
    for make in KINDS[name]:
        optimizer, p = stepped(make, 4, 4)
        for value in optimizer.state[p].values():
            if value is not None and value.shape == p.shape:
                value.data = (torch.arange(16.0) + 1).view(4, 4).t()
        optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("name", KINDS)
def test_a_parameter_may_be_laid_otherwise_while_its_old_gradient_stays(name: str) -> None:
    ends = []
    for make in KINDS[name]:
        optimizer, p = stepped(make, 2, 3, 4, 5)
        for layout in (torch.channels_last, torch.contiguous_format):
            p.data = p.data.contiguous(memory_format=layout)
            optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_a_count_that_was_given_other_data_is_counted_on_from() -> None:
    optimizer, p = stepped(optim.AdamW, 3)
    optimizer.state[p]["step"].data = torch.tensor(100.0)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 101
    assert optimizer.state_dict()["state"][0]["step"].item() == 101


@pytest.mark.parametrize("name", MOMENTS)
def test_a_parameter_that_was_turned_on_its_side_does_not_keep_its_moments(name: str) -> None:
    optimizer, p = stepped(OURS[name], 4, 6)
    p.data = p.data.t().contiguous()
    p.grad = torch.ones(6, 4)
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        optimizer.step()


@pytest.mark.parametrize(("name", "option"), [("AdamW", "maximize"), ("Adam", "amsgrad"), ("SGD", "nesterov")])
def test_an_option_that_is_not_served_is_refused_whenever_it_is_set(name: str, option: str) -> None:
    optimizer, _ = stepped(OURS[name], 3)
    optimizer.param_groups[0][option] = True
    with pytest.raises(ValueError, match=f"{option}=True is not served"):
        optimizer.step()
    optimizer.param_groups[0][option] = False
    optimizer.step()
    if name == "AdamW":
        optimizer.param_groups[0]["convention"] = "bogus"
        with pytest.raises(ValueError, match="convention='bogus'"):
            optimizer.step()


def test_in_the_papers_convention_a_group_may_be_given_any_number() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.zeros(3)
    optimizer = optim.SGDW([p], lr=0.1, weight_decay=1e-3, convention="paper", release=False)
    optimizer.step()
    optimizer.param_groups[0]["weight_decay"] = 1e-2  # what a file of the first one would hold
    optimizer.step()
    assert optimizer.param_groups[0]["weight_decay"] == 1e-2
    torch.testing.assert_close(p.detach(), torch.full((3,), (1 - 1e-3) * (1 - 1e-2)))


def test_a_look_that_was_interrupted_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import optim.base.optimizer

    optimizer, p = stepped(optim.AdamW, 3)
    optimizer.state[p]["exp_avg"] = torch.zeros(3)
    made = optim.base.optimizer.Snapshot

    def interrupted(*args: Any) -> Any:
        made(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(optim.base.optimizer, "Snapshot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    monkeypatch.undo()
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 3
    assert optimizer.state[p]["exp_avg"].any()


def test_threads_that_an_interrupt_kept_off_are_back_after_the_next_step() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.get_num_threads()
        cpu.threads_off()
        assert torch.get_num_threads() == 1
        p = torch.ones(3)
        cpu.sgd(([p], [torch.ones(3)]), lr=0.1, momentum=0.0, alone=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_two_optimizers_over_one_state_count_together_as_torchs_do() -> None:
    ends = []
    for kind in (lambda p: optim.AdamW(p, 0.1, release=False), lambda p: torch.optim.AdamW(p, 0.1)):
        first, p = stepped(kind, 3)
        second = kind([p])
        second.state = first.state
        for step in range(6):
            p.grad = torch.full((3,), 1.0 + step)
            (first, second)[step % 2].step()
            if step == 3:
                first.state[p]["exp_avg"].zero_()
        ends.append((p.detach(), first.state[p]["step"].item()))
    torch.testing.assert_close(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1] == 8


@pytest.mark.parametrize("name", KINDS)
def test_a_shallow_copy_shares_its_state_and_counts_along_as_torchs_does(name: str) -> None:
    ends = []
    for make in KINDS[name]:
        optimizer, p = stepped(make, 5)
        other = copy.copy(optimizer)
        for one in (other, optimizer, optimizer, other, other, optimizer):
            one.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_the_states_can_be_copied_as_any_dict() -> None:
    optimizer, p = stepped(optim.AdamW, 3)
    for taken in (optimizer.state.copy(), copy.copy(optimizer.state), optimizer.state | {}):
        assert taken[p]["step"] is optimizer.state[p]["step"]


def test_rates_that_are_numpys_or_come_as_tensors_from_a_file_are_numbers() -> None:
    import numpy as np

    p = [torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)]
    theirs = torch.optim.AdamW(p, lr=torch.tensor(1e-2), foreach=False)
    torch.optim.lr_scheduler.LambdaLR(theirs, lambda epoch: 1.0)
    mine = optim.AdamW(p, lr=np.float32(1e-2), convention="paper", release=False)
    for q in p:
        q.grad = torch.ones_like(q)
    theirs.step()
    mine.load_state_dict(theirs.state_dict())
    mine.step()
    assert [state["step"].item() for state in mine.state.values()] == [2, 2]


def test_an_edit_moves_no_count_that_it_did_not_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = [torch.ones(3, requires_grad=True) for _ in range(4)]
    optimizer = optim.AdamW(parameters)
    for p in parameters:
        p.grad = torch.ones(3)
    optimizer.step()
    moved: list[Any] = []
    placed = numbers._placed
    monkeypatch.setattr(numbers, "_placed", lambda *given: (moved.append(given), placed(*given))[1])
    optimizer.state[parameters[1]]["exp_avg"] = torch.zeros(3)
    optimizer.step()
    assert not moved
    optimizer.state[parameters[1]]["step"] = torch.tensor(7.0)
    optimizer.step()
    assert len(moved) == 4
    assert [optimizer.state[p]["step"].item() for p in parameters] == [3, 8, 3, 3]


def rebuilt(optimizer: Any, p: Tensor) -> None:
    optimizer.state[p] = type(optimizer.state[p])({k: v.clone() for k, v in optimizer.state[p].items()})


def mapped_over(optimizer: Any, p: Tensor) -> None:
    tree_map_only(Tensor, lambda t: t.mul_(0.5) if t.dim() else t, {"a": optimizer.state[p], "b": 1})


def emptied(optimizer: Any, p: Tensor) -> None:
    kind = type(optimizer.state)
    optimizer.state = kind(dict) if kind is not dict else kind()


def read_whole(optimizer: Any, p: Tensor) -> None:
    optimizer.step()  # after this nothing but a copy of the dict is looked at
    for entry in dict(optimizer.state[p]).values():
        if not entry.dim():
            entry.data = entry.data + 3


@pytest.mark.parametrize("edit", [rebuilt, mapped_over, emptied, read_whole])
@pytest.mark.parametrize("name", KINDS)
def test_what_tools_do_to_a_state_as_to_any_dict_is_followed(name: str, edit: Any) -> None:
    ends = []
    for make in KINDS[name]:
        optimizer, p = stepped(make, 5)
        edit(optimizer, p)
        for _ in range(3):
            optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)
