"""What SparseAdamW keeps, saves and refuses."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import optim
from optim.sparse import SparseAdamW
from tests.optim.embeddings import STEPS, dense, largest_difference, sparse, tables, train


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
        (refused(betas=(0.9, 1.0)), ValueError, "betas"),
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
    optimizer.param_groups[0].update(lr=0.1, betas=(0.95, 0.9))
    with pytest.raises(ValueError, match="beta1 < sqrt"):
        optimizer.step()
    assert torch.equal(p, torch.ones(3, 2))
    with pytest.raises(ValueError, match="amsgrad"):
        optimizer.load_state_dict(torch.optim.AdamW([p], amsgrad=True).state_dict())
