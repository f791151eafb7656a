"""SparseAdamW touches only the rows of the batch, and ends where dense AdamW ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optim import catch_up
from optim.catch_up import History, replay
from optim.sparse import SparseAdamW
from tests.optim.embeddings import (
    EQUAL,
    STEPS,
    dense,
    largest_difference,
    sparse,
    sparse_gradient,
    tables,
    train,
    warm_cosine,
)


@pytest.mark.parametrize("convention", ["torch", "paper"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_after_catch_up_every_row_is_where_dense_adamw_has_it(dtype: torch.dtype, convention: str) -> None:
    mine, theirs = tables(dtype), tables(dtype)
    optimizer, peer = sparse(mine, convention), dense(theirs)
    train(mine, optimizer, 0, STEPS)
    train(theirs, peer, 0, STEPS)
    assert largest_difference(mine, theirs) > 0.01  # there is something to catch up
    optimizer.catch_up()  # type: ignore[attr-defined]
    assert largest_difference(mine, theirs) < EQUAL[dtype]
    for name in ("exp_avg", "exp_avg_sq"):
        for p, q in zip(mine, theirs, strict=True):
            torch.testing.assert_close(optimizer.state[p][name], peer.state[q][name], rtol=1e-4, atol=1e-30)


def test_float32_rows_end_no_further_from_float64_than_those_of_dense_adamw() -> None:
    exact = [p.detach().double().requires_grad_() for p in tables(torch.float32)]
    errors = []
    train(exact, dense(exact), 0, STEPS)
    for make in (sparse, dense):
        p = tables(torch.float32)
        optimizer = make(p)
        train(p, optimizer, 0, STEPS)
        optimizer.state_dict()  # catches up
        errors.append(largest_difference(p, exact))
    assert errors[0] <= errors[1]


def test_a_row_never_touched_has_only_decayed() -> None:
    p = tables(torch.float64)
    start = p[0][-1].detach().clone()
    optimizer = sparse(p)
    train(p, optimizer, 0, 200)
    assert torch.equal(p[0][-1], start)
    optimizer.catch_up()  # type: ignore[attr-defined]
    left = math.exp(math.fsum(math.log1p(-1e-2 * warm_cosine(step) * 0.1) for step in range(200)))
    torch.testing.assert_close(p[0][-1].detach(), start * left, rtol=1e-13, atol=0)
    assert not optimizer.state[p[0]]["exp_avg"][-1].any()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.0, 0.9), (0.95, 0.99)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_series_and_step_by_step_replay_agree(dtype: torch.dtype, betas: tuple[float, float]) -> None:
    history = History(0, betas, 1e-8, torch.finfo(dtype).eps)
    for step in range(900):
        history.append(1e-2 * warm_cosine(step % STEPS), betas, 1e-3)
    g = torch.Generator().manual_seed(0)
    last = np.arange(1, 900, 7)
    size = 10.0 ** -torch.randint(0, 10, (len(last), 1), generator=g).double()
    m = (torch.randn(len(last), 4, generator=g) * size).to(dtype)
    v = (torch.rand(len(last), 4, generator=g) * size**2).to(dtype)
    chosen, _, _ = replay(history, last, torch.zeros_like(m), m, v)
    if betas == (0.9, 0.999):  # the series serves all but the first steps
        assert (
            history.table[1:-1, catch_up.ERROR] <= history.rounding * history.table[1:-1, catch_up.LEAST]
        ).mean() > 0.8
    history.table[:, catch_up.ERROR] = math.inf
    by_steps, _, _ = replay(history, last, torch.zeros_like(m), m, v)
    scale = by_steps.abs().max(1, keepdim=True).values
    assert ((chosen - by_steps).abs() <= 40 * torch.finfo(dtype).eps * scale).all()  # hundreds of additions


class Tagger(nn.Module):
    """A sparse embedding under dense layers."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(200, 8, sparse=sparse)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5)).double()
        self.embedding.double()

    def forward(self, words: Tensor) -> Tensor:
        return self.layers(self.embedding(words))


def fit(model: Tagger, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        g = torch.Generator().manual_seed(step)
        words = torch.randint(0, 200, (4,), generator=g)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(words), words % 5).backward()
        optimizer.step()


def test_a_network_with_a_followed_embedding_trains_as_under_dense_adamw() -> None:
    mine, theirs = Tagger(sparse=True), Tagger(sparse=False)
    optimizer = SparseAdamW(mine.parameters(), 1e-2, weight_decay=0.1)
    handles = optimizer.follow(mine.embedding)
    fit(mine, optimizer, 300)
    fit(theirs, torch.optim.AdamW(theirs.parameters(), 1e-2, weight_decay=0.1), 300)
    with torch.no_grad():  # evaluation reads rows that are up to date, and the state_dict holds no others
        words = torch.arange(50)
        torch.testing.assert_close(mine(words), theirs(words), rtol=0, atol=1e-11)
    for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    for handle in handles:
        handle.remove()


def test_a_parameter_may_change_between_dense_and_sparse_gradients() -> None:
    ends = []
    for make in (sparse, dense):
        p = tables(torch.float64)
        optimizer: Any = make(p)
        for step in range(300):
            for q in p:
                gradient = sparse_gradient(q, step, 4)
                q.grad = gradient if make is sparse and step // 50 % 2 == 0 else gradient.to_dense()
            p[1].grad = None if step % 5 == 0 else p[1].grad
            optimizer.step()
        optimizer.state_dict()
        ends.append(p)
    assert largest_difference(*ends) < 1e-12


@pytest.mark.parametrize("change", ["betas by a scheduler", "eps", "strong decay", "no row"])
def test_options_that_change_on_the_way_count_from_the_step_of_their_change(change: str) -> None:
    ends = []
    for make in (sparse, dense):
        p = tables(torch.float64)
        optimizer: Any = make(p)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 400) if "betas" in change else None
        for step in range(300):
            if step == 150 and change == "eps":
                optimizer.param_groups[0]["eps"] = 1e-4
            if change == "strong decay":
                optimizer.param_groups[0]["weight_decay"] = 60.0 if step % 50 == 20 else 0.1
            for q in p:
                gradient = sparse_gradient(q, step, 0 if change == "no row" and step > 100 else 4)
                q.grad = gradient if make is sparse else gradient.to_dense()
            optimizer.step()
            if cycle:
                cycle.step()
        optimizer.state_dict()
        ends.append(p)
    assert largest_difference(*ends) < 1e-12
