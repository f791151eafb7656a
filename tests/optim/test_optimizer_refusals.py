"""What the optimizers do not serve they refuse, in one line that names it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import optim
from tests.optim.citizens import OURS, Make, weights


@pytest.mark.parametrize(
    ("parameter", "what"),
    [
        (torch.zeros(3, dtype=torch.float16), "float16"),
        (torch.zeros(3, dtype=torch.bfloat16), "bfloat16"),
        (torch.zeros(3, dtype=torch.complex64), "complex64"),
        (torch.zeros(3, device="meta"), "meta"),
        (torch.zeros(3, 3).to_sparse(), "sparse"),
    ],
)
@pytest.mark.parametrize("name", OURS)
def test_what_is_not_served_is_refused_in_one_line(name: str, parameter: Tensor, what: str) -> None:
    with pytest.raises(TypeError, match=what) as refusal:
        OURS[name]([parameter.clone().requires_grad_()])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", OURS)
def test_sparse_gradients_are_refused(name: str) -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = OURS[name](embedding.parameters())
    embedding(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(TypeError, match="sparse"):
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: optim.AdamW(p, lr=-1.0), "lr"),
        (lambda p: optim.AdamW(p, lr=torch.tensor(0.1)), "lr"),
        (lambda p: optim.AdamW(p, betas=(1.0, 0.9)), "betas"),
        (lambda p: optim.Adam(p, eps=-1.0), "eps"),
        (lambda p: optim.SGD(p, weight_decay=-1.0), "weight_decay"),
        (lambda p: optim.SGD(p, momentum=-1.0), "momentum"),
        (lambda p: optim.AdamW(p, convention="l2"), "convention"),
        (lambda p: optim.AdamW(p, lr=0.0, convention="paper"), "lr"),
        (lambda p: optim.Adam([{"params": p, "amsgrad": True}]), "amsgrad"),
        (lambda p: optim.SGD([{"params": p, "nesterov": True}]), "nesterov"),
        (lambda p: optim.Adam(p).load_state_dict(torch.optim.AdamW(p).state_dict()), "decoupled_weight_decay"),
        (lambda p: optim.Adam(p).load_state_dict(torch.optim.Adam(p, amsgrad=True).state_dict()), "amsgrad"),
        (lambda p: optim.AdamW(p).load_state_dict(optim.AdamW(p[:1]).state_dict()), "size"),
        (lambda p: optim.AdamW([]), "empty"),
    ],
)
def test_bad_options_are_refused_by_name(make: Make, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        make(weights())


CLASSES = [optim.Adam, optim.AdamW, optim.SGD, optim.SGDW, optim.SparseAdamW]
ADAMS = {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False}
SGDS = {"dampening": 0, "nesterov": False, "maximize": False, "differentiable": False}


def variants(kind: type) -> dict[str, object]:
    """Options of torch's class with the value that means what ours does."""
    return SGDS if issubclass(kind, optim.SGD) else ADAMS


@pytest.mark.parametrize("kind", CLASSES)
def test_torchs_options_are_accepted_where_they_mean_what_is_done_and_else_refused_by_name(kind: Any) -> None:
    ways = [{"fused": way, "foreach": other} for way in (None, False, True) for other in (None, False)]
    for way in ways:
        assert kind(weights(), **variants(kind), **way).param_groups[0]["lr"] == 1e-3
    for option in variants(kind):
        with pytest.raises(ValueError, match=f"{option}=True is not served by optim.{kind.__name__}"):
            kind(weights(), **{option: True})
    with pytest.raises(TypeError, match="decoupeld"):
        kind(weights(), decoupeld=True)
