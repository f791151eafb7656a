"""Decay keeps its effect when an optimizer's state goes to torch.optim or comes from there, in either convention."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import optim
from tests.optim.citizens import train, weights

LR, WD = 1e-2, 0.5  # torch's decay; in the paper's convention LR * WD
Made = Callable[[list[Tensor]], torch.optim.Optimizer]


def torchs(p: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(p, LR, weight_decay=WD)


def papers(p: list[Tensor]) -> torch.optim.Optimizer:
    return optim.AdamW(p, LR, weight_decay=LR * WD, convention="paper")


def sparse_papers(p: list[Tensor]) -> torch.optim.Optimizer:
    return optim.SparseAdamW(p, LR, weight_decay=LR * WD, convention="paper")


def scheduled(p: list[Tensor], makes: list[Made]) -> list[Tensor]:
    """Trained under a falling rate, handed from one optimizer to the next every 20 steps."""
    optimizer, schedule = None, None
    for part, make in enumerate(makes):
        state = copy.deepcopy((optimizer.state_dict(), schedule.state_dict())) if optimizer and schedule else None
        optimizer = make(p)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step / 10))
        if state:
            optimizer.load_state_dict(state[0])
            schedule.load_state_dict(state[1])
        for step in range(20 * part, 20 * part + 20):
            train(p, optimizer, step, step + 1)
            schedule.step()
    return p


@pytest.mark.parametrize(
    "makes",
    [
        [papers, torchs, papers],
        [torchs, papers, torchs],
        [sparse_papers, torchs, sparse_papers],
        [torchs, sparse_papers, papers],
    ],
)
def test_a_run_goes_on_with_the_same_decay(makes: list[Made]) -> None:
    whole = scheduled(weights(torch.float64), [torchs, torchs, torchs])
    mine = scheduled(weights(torch.float64), makes)
    for a, b in zip(mine, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [papers, sparse_papers])
def test_a_decay_of_the_papers_convention_comes_back_to_the_bit_unless_it_was_changed(make: Made) -> None:
    p = weights()
    wd = LR * WD / 3
    first = make(p)
    first.param_groups[0]["weight_decay"] = wd
    state = first.state_dict()
    assert state["param_groups"][0]["weight_decay"] == pytest.approx(wd / LR)
    for through in (False, True):
        second = torchs(p)
        second.load_state_dict(copy.deepcopy(state))
        third = make(p)
        third.load_state_dict(second.state_dict() if through else copy.deepcopy(state))
        assert third.param_groups[0]["weight_decay"] == wd
        assert first.param_groups[0].keys() <= third.param_groups[0].keys()
    second.param_groups[0]["weight_decay"] = 0.25
    third.load_state_dict(second.state_dict())
    assert third.param_groups[0]["weight_decay"] == pytest.approx(0.25 * LR)


def test_sgdw_takes_no_l2_penalty_of_torchs_sgd_for_its_decay() -> None:
    p = weights()
    mine = optim.SGDW(p, 0.1, 0.9, weight_decay=0.02)
    mine.load_state_dict(torch.optim.SGD(p, 0.3, 0.8, weight_decay=0.5).state_dict())
    group = mine.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.8, 0.02)


def looked_up(follow: bool) -> tuple[nn.Embedding, optim.SparseAdamW]:
    torch.manual_seed(0)
    table = nn.Embedding(30, 4, sparse=True)
    optimizer = optim.SparseAdamW(table.parameters(), lr=0.05, weight_decay=0.1)
    if follow:
        optimizer.follow(table)
    return table, optimizer


def steps(table: nn.Embedding, optimizer: optim.SparseAdamW, first: int, last: int) -> None:
    for step in range(first, last):
        g = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        table(torch.randint(30, (5,), generator=g)).square().sum().backward()
        optimizer.step()


def test_rows_that_nobody_brings_up_to_date_are_warned_of_once() -> None:
    table, optimizer = looked_up(follow=False)
    with pytest.warns(UserWarning, match=r"optimizer.follow\(embedding\)") as said:
        steps(table, optimizer, 0, 10)
    assert len(said) == 1


@pytest.mark.parametrize("way", ["follow", "rows", "all"])
def test_rows_that_somebody_sees_to_are_not_warned_of(way: str, recwarn: pytest.WarningsRecorder) -> None:
    table, optimizer = looked_up(follow=way == "follow")
    for step in range(5):
        if way == "rows":
            optimizer.catch_up(table.weight, torch.arange(30))
        if way == "all":
            optimizer.catch_up()
        steps(table, optimizer, step, step + 1)
    assert not len(recwarn)


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_an_embedding_that_is_followed_can_be_copied_with_its_optimizer(way: str) -> None:
    table, optimizer = looked_up(follow=True)
    steps(table, optimizer, 0, 20)
    both = table, optimizer
    other, second = copy.deepcopy(both) if way == "deepcopy" else pickle.loads(pickle.dumps(both))
    steps(other, second, 20, 40)
    steps(table, optimizer, 20, 40)
    assert torch.equal(table.state_dict()["weight"], other.state_dict()["weight"])
    assert not second._resting  # a module's state_dict has brought all rows up to date
