"""Lookahead: the slow weights follow the formula, and the inner optimizer goes on as it was."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import optim
from tests.optim.citizens import same, train, weights

INNER: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "torch SGD": lambda p: torch.optim.SGD(p, 1e-2, 0.9),
    "torch AdamW": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1),
}


def by_hand(p: list[Tensor], fast: torch.optim.Optimizer, k: int, alpha: float, steps: int) -> None:
    slow = [q.detach().clone() for q in p]
    for step in range(steps):
        train(p, fast, step, step + 1)
        if (step + 1) % k == 0:
            with torch.no_grad():
                for q, s in zip(p, slow, strict=True):
                    s += alpha * (q - s)
                    q.copy_(s)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(("k", "alpha"), [(1, 0.3), (5, 0.5), (6, 0.8)])
def test_it_is_the_loop_written_by_hand(inner: str, k: int, alpha: float) -> None:
    mine, theirs = weights(torch.float64), weights(torch.float64)
    train(mine, optim.Lookahead(INNER[inner](mine), k, alpha), 0, 23)
    by_hand(theirs, INNER[inner](theirs), k, alpha, 23)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def test_on_a_constant_gradient_it_is_the_formula_in_closed_form() -> None:
    p = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    optimizer = optim.Lookahead(torch.optim.SGD([p], lr=0.1), k=4, alpha=0.25)
    for step in range(1, 15):
        p.grad = torch.ones_like(p)
        optimizer.step()
        slow = 3.0 - (step // 4) * 0.25 * 4 * 0.1  # each pull keeps a quarter of four steps of 0.1
        assert p.item() == pytest.approx(slow - step % 4 * 0.1, rel=1e-14)
        assert optimizer.slow[p].item() == pytest.approx(slow, rel=1e-14)


def test_alpha_1_changes_no_bit_and_alpha_0_goes_back_to_the_start() -> None:
    plain, one, none = weights(), weights(), weights()
    train(plain, INNER["AdamW"](plain), 0, 20)
    train(one, optim.Lookahead(INNER["AdamW"](one), 5, 1.0), 0, 20)
    train(none, optim.Lookahead(INNER["AdamW"](none), 5, 0.0), 0, 20)
    assert same(one, plain)
    assert same(none, weights())


def test_torchs_schedulers_and_new_groups_reach_the_inner_optimizer() -> None:
    ends = []
    for wrapped in (False, True):
        p = weights()
        inner = INNER["torch AdamW"](p[:2])
        optimizer: Any = optim.Lookahead(inner, 3, 1.0) if wrapped else inner
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
        for step in range(20):
            if step == 10:
                optimizer.add_param_group({"params": p[2:], "lr": 0.1})
                scheduler.base_lrs.append(0.1)
                optimizer.param_groups[-1]["initial_lr"] = 0.1
            train(p if step >= 10 else p[:2], optimizer, step, step + 1)
            scheduler.step()
        assert len(inner.param_groups) == 2
        assert inner.param_groups is optimizer.param_groups
        ends.append(p)
    assert same(*ends)


def test_a_closure_goes_to_the_inner_optimizer_and_zero_grad_clears() -> None:
    p = weights()
    optimizer = optim.Lookahead(INNER["torch SGD"](p), 3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum(((q - 1) ** 2).sum() for q in p)
        assert isinstance(loss, Tensor)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]
    optimizer.zero_grad()
    assert all(q.grad is None for q in p)


@pytest.mark.parametrize("way", ["state_dict", "weights_only file", "pickle", "deepcopy"])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("first", [0, 12])
def test_a_resumed_run_ends_in_the_same_bits(inner: str, way: str, first: int) -> None:
    whole, mine = weights(), weights()
    train(whole, optim.Lookahead(INNER[inner](whole), 5, 0.3), 0, 30)
    optimizer = optim.Lookahead(INNER[inner](mine), 5, 0.3)
    train(mine, optimizer, 0, first)
    if way == "pickle":
        mine, optimizer = pickle.loads(pickle.dumps((mine, optimizer)))
    elif way == "deepcopy":
        mine, optimizer = copy.deepcopy((mine, optimizer))
    else:
        state: Any = optimizer.state_dict()
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True) if way == "weights_only file" else state
        old = mine, optimizer
        mine = [p.detach().clone().requires_grad_() for p in mine]
        optimizer = optim.Lookahead(INNER[inner](mine))  # k and alpha come with the state
        optimizer.load_state_dict(state)
        train(*old, first, first + 5) if way != "state_dict" else None
    train(mine, optimizer, first, 30)
    assert same(mine, whole)


def test_around_sparse_adamw_it_pulls_rows_that_are_up_to_date() -> None:
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(40, 3, sparse=sparse).double()
        inner = optim.SparseAdamW(table.parameters(), 1e-2) if sparse else torch.optim.AdamW(table.parameters(), 1e-2)
        if isinstance(inner, optim.SparseAdamW):
            inner.follow(table)
        optimizer = optim.Lookahead(inner, 5, 0.5)
        for step in range(60):
            optimizer.zero_grad()
            (table(torch.tensor([step % 40, 7 * step % 40])) ** 2).sum().backward()
            optimizer.step()
        ends.append(table.state_dict()["weight"].clone())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-13)


def test_around_lomo_it_pulls_what_backward_has_moved() -> None:
    ends = []
    for make in (optim.LOMO, torch.optim.SGD):
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = optim.Lookahead(make(model.parameters(), lr=0.1), 3, 0.5)
        for step in range(10):
            optimizer.zero_grad()
            (model(torch.full((2, 4), step / 10)) ** 2).sum().backward()
            optimizer.step()
        ends.append([p.detach() for p in model.parameters()])
    assert same(*ends)


def test_what_it_cannot_serve_is_refused() -> None:
    p = weights()
    for options, says in (({"k": 0}, "k=0"), ({"k": 2.5}, "k=2.5"), ({"alpha": 1.5}, "alpha=1.5")):
        with pytest.raises(ValueError, match=says):
            optim.Lookahead(INNER["AdamW"](p), **options)
    optimizer = optim.Lookahead(INNER["AdamW"](p))
    with pytest.raises(ValueError, match=r"not a state_dict of optim.Lookahead: lookahead_k, "):
        optimizer.load_state_dict(INNER["AdamW"](p).state_dict())
    with pytest.raises(ValueError, match="group"):
        optim.Lookahead(INNER["AdamW"](p[:2])).load_state_dict(optimizer.state_dict())
    train(p, optimizer, 0, 2)
    reordered = optim.Lookahead(INNER["AdamW"](p[::-1]))
    with pytest.raises(ValueError, match="do not have the shapes"):
        reordered.load_state_dict(optimizer.state_dict())
    assert not reordered.state
