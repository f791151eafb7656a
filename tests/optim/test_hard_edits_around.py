"""Edits that no list or dict shows, of the optimizers that are not `optim.Optimizer`s: Lookahead, SparseAdamW, LOMO."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import optim


def test_lookahead_refuses_a_changed_parameter_before_its_optimizer_moves_and_another_lookahead() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([p], 0.1), 3)
    with pytest.raises(ValueError, match="Lookahead around Lookahead"):
        optim.Lookahead(optimizer)
    p.data = torch.ones(64)
    p.grad = torch.ones(64)
    with pytest.raises(ValueError, match=r"\(64,\)"):
        optimizer.step()
    assert torch.equal(p.detach(), torch.ones(64))
    optimizer.param_groups[0]["lookahead_k"] = 0
    with pytest.raises(ValueError, match="k=0"):
        optimizer.step()


def test_of_two_lookaheads_around_one_optimizer_the_last_is_served_and_the_other_refused() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    fast = optim.SGD([p], 0.1)
    first = optim.Lookahead(fast, 1)
    first.step()
    last = optim.Lookahead(fast, 1)
    with pytest.raises(RuntimeError, match="another Lookahead"):
        first.step()
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.95))
    del first
    last.step()
    copied = copy.deepcopy(last)
    last.step()
    copied.step()
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.85))


def looked_up() -> tuple[nn.Embedding, Any]:
    torch.manual_seed(0)
    table = nn.Embedding(6, 2, sparse=True)
    optimizer = optim.SparseAdamW(table.parameters(), lr=0.1)
    optimizer.follow(table)
    for rows in ([0, 1], [2], [2]):
        optimizer.zero_grad()
        table(torch.tensor(rows)).square().sum().backward()
        optimizer.step()
    return table, optimizer


@pytest.mark.parametrize("way", ["in place", "other data"])
def test_moments_that_change_while_rows_rest_are_refused_by_whoever_reads_first(way: str) -> None:
    table, optimizer = looked_up()
    moment = optimizer.state[table.weight]["exp_avg"]
    if way == "in place":
        moment.zero_()
    else:
        moment.data = torch.zeros_like(moment)
    with pytest.raises(RuntimeError, match=r"catch_up\(\) before"):
        table(torch.tensor([0]))


@pytest.mark.parametrize("way", ["in place", "by .data", "other data", "signs"])
def test_rows_that_change_while_they_rest_are_refused_by_whoever_reads_them_first(way: str) -> None:
    table, optimizer = looked_up()
    weight = table.weight
    if way == "in place":
        with torch.no_grad():
            weight[0] = 0.0
    elif way == "by .data":
        weight.data[0] *= 0.5
    elif way == "other data":
        weight.data = weight.data.flip(1)
    else:
        weight.data[:2] *= -1
    with pytest.raises(RuntimeError, match=r"catch_up\(\) before"):
        table(torch.tensor([0]))
    with pytest.raises(RuntimeError, match=r"catch_up\(\) before"):
        optimizer.state_dict()
    table(torch.tensor([2]))  # is up to date


@pytest.mark.parametrize("shape", [(20, 3), (20, 2, 2), (20,)])
def test_rows_that_are_up_to_date_may_be_changed_and_all_data_moved(shape: tuple[int, ...]) -> None:
    ends = []
    for sparse in (True, False):
        g = torch.Generator().manual_seed(0)
        p = torch.randn(shape, generator=g, dtype=torch.float64).requires_grad_()
        optimizer: Any = (optim.SparseAdamW if sparse else torch.optim.AdamW)([p], lr=0.1)
        for step in range(60):
            rows, others = torch.randint(20, (2, 4), generator=g)
            if sparse:
                optimizer.catch_up(p, torch.cat([rows, others]))
            with torch.no_grad():
                p[others] = p[others] * 0.9
                p.data[rows[:1]] += 1.0
            if step % 7 == 3:
                p.data = p.data.clone()
            dense = torch.zeros_like(p).index_put((rows,), p.detach()[rows])
            p.grad = dense.to_sparse(1) if sparse else dense
            optimizer.step()
            if step % 11 == 3:
                if sparse:
                    optimizer.catch_up()
                p.data.mul_(0.9)
        if sparse:
            optimizer.catch_up()
        ends.append(p.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_weights_that_are_loaded_while_rows_rest_owe_nothing() -> None:
    table, _ = looked_up()
    loaded = torch.full((6, 2), 3.0)
    table.load_state_dict({"weight": loaded})
    assert torch.equal(table(torch.tensor([0, 1, 2])).detach(), loaded[:3])


def test_a_vector_with_a_sparse_gradient_is_stepped_as_any_table() -> None:
    ends = []
    for sparse in (True, False):
        p = torch.ones(5, requires_grad=True)
        optimizer: Any = (optim.SparseAdamW if sparse else torch.optim.AdamW)([p], lr=0.1)
        for row in (0, 1, 1, 0):
            dense = torch.zeros(5).index_fill(0, torch.tensor([row]), 1.0)
            p.grad = dense.to_sparse() if sparse else dense
            if sparse:
                optimizer.catch_up(p, torch.arange(5))
            optimizer.step()
        if sparse:
            optimizer.catch_up()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_a_lomo_that_was_refused_hooks_nothing_and_a_gradient_set_by_hand_is_not_clipped_in_place() -> None:
    p = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="lr=-1"):
        optim.LOMO([{"params": [p]}, {"params": [torch.ones(2, requires_grad=True)], "lr": -1.0}], lr=0.1)
    p.sum().backward()
    assert torch.equal(p.detach(), torch.ones(3))
    optimizer = optim.LOMO([p], lr=0.1, clip_value=0.5)
    mine = torch.full((3,), 2.0)
    p.grad = mine
    optimizer.step()
    assert torch.equal(mine, torch.full((3,), 2.0))
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.95))
    optimizer.param_groups[0]["clip_value"] = -1.0
    with pytest.raises(ValueError, match="clip_value=-1"):
        p.sum().backward()


@pytest.mark.parametrize("inner", [optim.LOMO, optim.SGD])
def test_a_parameter_that_is_put_into_a_group_has_its_slow_weights_from_before_its_first_step(inner: Any) -> None:
    old, new = (torch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = optim.Lookahead(inner([old], 0.1), 2, 0.5)
    optimizer.param_groups[0]["params"].append(new)
    for _ in range(2):
        optimizer.zero_grad()
        (old + 1.0 * new).sum().backward()  # old has its gradient first
        optimizer.step()
    torch.testing.assert_close(old.detach(), torch.tensor([0.9]))
    torch.testing.assert_close(new.detach(), torch.tensor([0.9]))


def test_a_file_that_is_loaded_in_inference_mode_is_stepped_outside_of_it() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    optimizer = optim.SparseAdamW([p])
    optimizer.step()
    with torch.inference_mode():
        optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert optimizer.state[p]["step"] == 2
