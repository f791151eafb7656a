"""What PyTorch's own optimizer tests claim of state, files, copies and hooks, claimed of ours.

The count of those that apply is in `test_torch_promises`.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import optim
from tests.optim.infos import INFOS, Numbers, pair, train

SERVED = [(name, numbers) for name, info in INFOS.items() for numbers in info.served()]
served = pytest.mark.parametrize(("name", "numbers"), SERVED, ids=str)
every = pytest.mark.parametrize("name", INFOS)
NEWER = ("foreach", "maximize", "capturable", "differentiable", "fused", "decoupled_weight_decay")


def named(tensors: tuple[Tensor, Tensor], yes: bool) -> list[Any]:
    return list(zip(("weight", "bias"), tensors, strict=True)) if yes else list(tensors)


def without_names(state: dict[str, Any]) -> dict[str, Any]:
    groups = [{k: v for k, v in group.items() if k != "param_names"} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


def same(a: Any, b: Any) -> bool:
    """Whether two files are one to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("names", [(False, False), (True, False), (False, True), (True, True)])
@served
def test_a_file_is_the_same_each_time_and_loads_with_and_without_names(
    name: str, numbers: Numbers, names: tuple[bool, bool]
) -> None:
    first = pair()
    one = INFOS[name].make(named(first, names[0]), numbers)
    train(one, *first, 10)
    second = tuple(p.detach().clone().requires_grad_() for p in first)
    other = INFOS[name].make(named((second[0], second[1]), names[1]), numbers)
    file = copy.deepcopy(one.state_dict())
    other.load_state_dict(file)
    assert same(file, one.state_dict())  # loading changes no file
    for _ in range(10):
        train(one, *first, 1)
        train(other, second[0], second[1], 1)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert same(without_names(one.state_dict()), without_names(other.state_dict()))
    if any(names):
        assert other.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    other.param_groups.extend(other.param_groups)  # parameters that are repeated are written alike
    found = [without_names(o.state_dict())["param_groups"][-1] for o in (one, other)]
    assert same(*found)


@served
def test_a_file_that_lacks_newer_options_goes_on_as_a_whole_one(name: str, numbers: Numbers) -> None:
    ends = []
    for lost in ((), NEWER):
        tensors = pair()
        optimizer = INFOS[name].make(list(tensors), numbers)
        train(optimizer, *tensors, 3)
        file = copy.deepcopy(optimizer.state_dict())
        for group in file["param_groups"]:
            for option in lost:
                group.pop(option, None)
        optimizer.load_state_dict(file)
        train(optimizer, *tensors, 2)
        ends.append((optimizer.state_dict(), *tensors))
    assert same(*ends)


@served
def test_a_file_comes_back_the_same_also_by_weights_only(name: str, numbers: Numbers) -> None:
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), numbers)
    train(optimizer, *tensors, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    for weights_only in (True, False):
        file.seek(0)
        assert same(torch.load(file, weights_only=weights_only), optimizer.state_dict())


@pytest.mark.parametrize("kind", [int, float])
@served
def test_steps_that_are_plain_numbers_go_on_as_tensors(name: str, numbers: Numbers, kind: type) -> None:
    """And the run goes on as from the file whose steps are tensors."""
    ends = []
    for plain in (False, True):
        tensors = pair()
        optimizer = INFOS[name].make(list(tensors), numbers)
        train(optimizer, *tensors, 3)
        file = copy.deepcopy(optimizer.state_dict())
        for state in file["state"].values():
            if plain and "step" in state:
                state["step"] = kind(state["step"])
        optimizer.load_state_dict(file)
        train(optimizer, *tensors, 2)
        ends.append((optimizer.state_dict(), *tensors))
    assert same(*ends)


@every
def test_hooks_around_saving_run_and_may_return_another_file(name: str) -> None:
    """The first may write into the state, the second may return another dict."""
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), {})
    before = optimizer.register_state_dict_pre_hook(lambda o: o.state.__setitem__("note", 1))
    assert optimizer.state_dict()["state"]["note"] == 1
    before.remove()
    optimizer.register_state_dict_post_hook(lambda o, file: {**file, "said": "note" in file["state"]})
    assert optimizer.state_dict()["said"]
    train(optimizer, *tensors, 2)
    assert (optimizer.state["note"], optimizer.state_dict()["state"]["note"]) == (1, 1)
    again = copy.deepcopy(optimizer)
    again.load_state_dict(optimizer.state_dict())
    assert again.state["note"] == 1
    train(optimizer, *tensors, 1)


@every
def test_hooks_around_loading_run_in_order_and_may_return_another_file(name: str) -> None:
    def in_place(_: Any, file: dict[str, Any]) -> None:
        file["param_groups"][0]["lr"] = 0.002

    def returned(_: Any, file: dict[str, Any]) -> dict[str, Any]:
        file = copy.deepcopy(file)
        file["param_groups"][0]["lr"] = 0.003
        return file

    def after(o: Any) -> None:
        o.state["after"] = o.param_groups[0]["lr"]

    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), {})
    train(optimizer, *tensors, 1)
    file = optimizer.state_dict()
    optimizer.register_load_state_dict_pre_hook(in_place)
    optimizer.register_load_state_dict_post_hook(after)
    optimizer.load_state_dict(file)
    assert (optimizer.param_groups[0]["lr"], optimizer.state["after"]) == (0.002, 0.002)
    handle = optimizer.register_load_state_dict_pre_hook(returned, prepend=True)
    optimizer.load_state_dict(file)
    assert optimizer.param_groups[0]["lr"] == 0.002  # the hook that changes it in place comes last
    handle.remove()
    optimizer.register_load_state_dict_pre_hook(returned)
    optimizer.load_state_dict(file)
    assert (optimizer.param_groups[0]["lr"], optimizer.state["after"]) == (0.003, 0.003)
    train(optimizer, *tensors, 1)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What the hooks of all optimizers have said."""
    said: list[str] = []
    handles = [
        register_optimizer_step_pre_hook(lambda *_: said.append("before all")),
        register_optimizer_step_post_hook(lambda *_: said.append("after all")),
    ]
    yield said
    for handle in handles:
        handle.remove()


@every
def test_hooks_of_one_and_of_all_optimizers_run_around_a_step(name: str, heard: list[str]) -> None:
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), {})
    handles = [
        optimizer.register_step_pre_hook(lambda *_: heard.append("before")),
        optimizer.register_step_post_hook(lambda *_: heard.append("after")),
    ]
    inner = ["before all", "after all"] if name == "Lookahead" else []  # hooks of all are those of what it wraps too
    expected = ["before all", "before", *inner, "after", "after all"]
    train(optimizer, *tensors, 1)
    assert heard == expected
    others = pair()
    train(torch.optim.SGD(others, lr=1e-3), *others, 1)
    train(optimizer, *tensors, 1)
    assert [word for word in heard if "all" not in word] == ["before", "after"] * 2
    for handle in handles:
        handle.remove()
    train(optimizer, *tensors, 1)
    assert heard.count("before") == heard.count("after") == 2


@served
def test_optimizer_can_be_printed_and_copied_with_all_public_attributes(name: str, numbers: Numbers) -> None:
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), numbers)
    train(optimizer, *tensors, 3)
    assert "lr: " in repr(optimizer)
    public = [{k for k in o.__dict__ if not k.startswith("_")} for o in (optimizer, copy.deepcopy(optimizer))]
    assert public[0] == public[1]


@served
def test_state_is_not_empty_after_a_step(name: str, numbers: Numbers) -> None:
    model = nn.Linear(5, 5)
    optimizer = INFOS[name].make(model.parameters(), numbers)
    model(torch.ones(2, 5)).sum().backward()
    optimizer.step()
    assert all(optimizer.state.values())
    stateless = name == "LOMO" or (name in ("SGD", "SGDW") and "momentum" not in numbers)
    assert len(optimizer.state) == (0 if stateless else 2)


OTHERS = {
    "AdamW": lambda p: torch.optim.AdamW(p),
    "SGD": lambda p: torch.optim.SGD(p, momentum=0.9),
    "ours": lambda p: optim.SGDW(p, momentum=0.9),
}


# Each class beside files that are not of its kind: SGDW reads SGD's state, and SparseAdamW AdamW's.
FOREIGN = [
    (name, other)
    for name in INFOS
    for other in OTHERS
    if (name, other) not in (("AdamW", "AdamW"), ("SparseAdamW", "AdamW")) and not ("SGD" in name and other != "AdamW")
]


@pytest.mark.parametrize(("name", "other"), FOREIGN)
def test_the_state_of_another_class_is_refused_with_the_reason_and_nothing_is_loaded(name: str, other: str) -> None:
    tensors = pair()
    theirs = OTHERS[other](tensors)
    train(theirs, *tensors, 2)
    file = theirs.state_dict()
    mine = INFOS[name].make(list(tensors), {})
    file["param_groups"][0]["lr"] = 9.0
    with pytest.raises(ValueError, match=r"is not that of optim\.|not a state_dict of optim\.|decoupled_weight_decay"):
        mine.load_state_dict(file)
    assert mine.param_groups[0]["lr"] != 9
    assert not any(mine.state.values())
