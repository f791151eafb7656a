"""SparseAdamW touches only the rows of the batch, and ends where dense AdamW ends."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import optim
from optim import replay as replaying
from optim.replay import History, replay
from optim.sparse import SparseAdamW

SHAPES = ((400, 3), (100, 2, 2))  # the last row of each is never touched
STEPS = 600
EQUAL = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
}  # of weights up to 4; float32: what rounding makes of dense AdamW itself


def warm_cosine(step: int) -> float:
    return min(1.0, step / 60) * 0.5 * (1 + math.cos(math.pi * step / STEPS))


def tables(dtype: torch.dtype) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for s in SHAPES]


def sparse_gradient(p: Tensor, step: int, rows: int) -> Tensor:
    """Of rows drawn with repetition, sizes from 1e-8 to 1 (eps matters in some rows and not in others), uncoalesced."""
    g = torch.Generator().manual_seed(step)
    index = torch.randint(0, len(p) - 1, (1, rows), generator=g)
    values = torch.randn(rows, *p.shape[1:], generator=g, dtype=torch.float64)
    values *= 10.0 ** -torch.randint(0, 9, (rows,), generator=g).view(-1, *[1] * (p.dim() - 1))
    with torch.sparse.check_sparse_tensor_invariants(False):
        return torch.sparse_coo_tensor(index, values.to(p.dtype), p.shape)


def groups(p: list[Tensor], **more: Any) -> list[dict[str, Any]]:
    return [{"params": p[:1], **more}, {"params": p[1:], "lr": 3e-3, "weight_decay": 2.0, "betas": (0.8, 0.95), **more}]


def sparse(p: list[Tensor], convention: str = "torch") -> torch.optim.Optimizer:
    given = groups(p)
    if convention == "paper":
        given[0]["weight_decay"], given[1]["weight_decay"] = 1e-2 * 0.1, 3e-3 * 2.0
    return SparseAdamW(given, 1e-2, weight_decay=0.1, convention=convention)


def dense(p: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups(p), 1e-2, weight_decay=0.1)


def train(p: list[Tensor], optimizer: torch.optim.Optimizer, first: int, last: int, **schedule: Any) -> list[Tensor]:
    """Steps in which 1 % of the rows have a gradient, under a cosine with warm-up."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine, last_epoch=first - 1 if first else -1)
    for step in range(first, last):
        for q in p:
            gradient = sparse_gradient(q, step, len(q) // 100)
            q.grad = gradient if isinstance(optimizer, SparseAdamW) else gradient.to_dense()
        optimizer.step()
        scheduler.step()
    return p


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a.detach().double() - b.detach().double()).abs().max()) for a, b in zip(one, other, strict=True))


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
    train(p, optimizer, 0, STEPS)
    assert torch.equal(p[0][-1], start)
    optimizer.catch_up()  # type: ignore[attr-defined]
    left = math.exp(math.fsum(math.log1p(-1e-2 * warm_cosine(step) * 0.1) for step in range(STEPS)))
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
            history.table[1:-1, replaying.ERROR] <= history.rounding * history.table[1:-1, replaying.LEAST]
        ).mean() > 0.8
    history.table[:, replaying.ERROR] = math.inf
    by_steps, _, _ = replay(history, last, torch.zeros_like(m), m, v)
    scale = by_steps.abs().max(1, keepdim=True).values
    assert ((chosen - by_steps).abs() <= 40 * torch.finfo(dtype).eps * scale).all()  # hundreds of additions


@pytest.mark.parametrize("way", ["state_dict", "weights_only file", "pickle", "deepcopy"])
def test_a_resumed_run_goes_on_identically(way: str) -> None:
    p = tables(torch.float32)
    optimizer: Any = sparse(p)
    train(p, optimizer, 0, 250)
    if way == "pickle":
        other, second = pickle.loads(pickle.dumps((p, optimizer)))
    elif way == "deepcopy":
        other, second = copy.deepcopy((p, optimizer))
    else:
        state = optimizer.state_dict()
        if way == "weights_only file":
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
        other = [q.detach().clone().requires_grad_() for q in p]
        second = sparse(other)
        second.load_state_dict(state)
    for q, one in ((p, optimizer), (other, second)):
        train(q, one, 250, 400)
        one.catch_up()
    assert all(torch.equal(a, b) for a, b in zip(p, other, strict=True))


def test_its_state_dict_goes_on_in_torch_adamw_and_back() -> None:
    whole, mine = tables(torch.float64), tables(torch.float64)
    train(whole, dense(whole), 0, STEPS)
    optimizer = sparse(mine)
    train(mine, optimizer, 0, 200)
    peer = dense(mine)
    peer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(mine, peer, 200, 400)
    back: Any = sparse(mine)
    back.load_state_dict(peer.state_dict())
    train(mine, back, 400, STEPS)
    back.catch_up()
    assert largest_difference(mine, whole) < 1e-12


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


def test_what_is_kept_of_the_past_goes_with_catch_up() -> None:
    p = tables(torch.float32)
    optimizer: Any = sparse(p)
    train(p, optimizer, 0, 300)
    kept = optimizer._resting[p[0]]
    assert kept.history.table.nbytes < 2 * 300 * 150
    assert kept.last.nbytes == 4 * len(p[0])
    optimizer.catch_up()
    assert not optimizer._resting


def refused(**options: Any) -> Callable[[], Any]:
    return lambda: SparseAdamW([torch.zeros(2, 2, requires_grad=True)], **options)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (refused(betas=(0.9, 0.8)), ValueError, "beta1 < sqrt"),
        (refused(betas=(0.9, 1.0)), ValueError, "beta2 < 1"),
        (refused(eps=0.0), ValueError, "eps=0"),
        (refused(lr=-1.0), ValueError, "lr=-1.0"),
        (refused(convention="keras"), ValueError, "torch or paper"),
        (refused(lr=0.0, convention="paper"), ValueError, "lr=0"),
        (lambda: SparseAdamW([torch.zeros(2, dtype=torch.bfloat16, requires_grad=True)]), TypeError, "bfloat16"),
    ],
)
def test_options_that_it_cannot_serve_are_refused_in_one_line(make: Callable, error: type, says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_gradients_and_decays_that_it_cannot_serve_are_refused_before_anything_moves() -> None:
    p = torch.ones(3, 2, requires_grad=True)
    optimizer = optim.SparseAdamW([p], lr=0.5, weight_decay=2.0)
    p.grad = torch.ones(3, 2).to_sparse()
    with pytest.raises(TypeError, match="2 sparse dimensions"):
        optimizer.step()
    p.grad = torch.ones(3, 2).to_sparse(1)
    with pytest.raises(ValueError, match="decay must be below 1"):
        optimizer.step()
    assert torch.equal(p, torch.ones(3, 2))
    with pytest.raises(ValueError, match="amsgrad"):
        optimizer.load_state_dict(torch.optim.AdamW([p], amsgrad=True).state_dict())
