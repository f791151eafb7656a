"""LOMO moves the weights inside backward as torch.optim.SGD would after it, and keeps no gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import optim

Make = Callable[[Any], torch.optim.Optimizer]


class Tied(nn.Module):
    """A small Transformer whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(16, 11)
        self.head.weight = self.embedding.weight

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(words)))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 11))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def loss_of(model: nn.Module, step: int) -> Tensor:
    words = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(step))
    return nn.functional.cross_entropy(model(words).flatten(0, 1), (words * 3 % 11).flatten())


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int, scheduler: Any = None) -> nn.Module:
    for step in range(first, last):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        if isinstance(optimizer, optim.LOMO):
            assert all(p.grad is None for p in model.parameters())
        optimizer.step()
        if scheduler:
            scheduler.step()
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("model", [mlp, Tied])
def test_the_weights_are_those_of_torchs_sgd_to_the_bit_and_no_gradient_is_left(model: Callable[[], nn.Module]) -> None:
    mine, theirs = seeded(model), seeded(model)
    fit(mine, optim.LOMO(mine.parameters(), 0.3), 0, 30)
    fit(theirs, torch.optim.SGD(theirs.parameters(), 0.3), 0, 30)
    assert same(mine, theirs)
    assert not same(mine, seeded(model))


def test_a_tied_weight_moves_once_a_step_by_the_gradient_of_all_its_uses() -> None:
    model = seeded(Tied)
    model.head.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))  # type: ignore[union-attr,operator]
    seen: list[Tensor] = []
    fit(model, optim.LOMO(model.parameters(), 0.3), 0, 2)
    assert len(seen) == 2


def test_sparse_gradients_move_their_rows() -> None:
    ends = []
    makes: list[Make] = [lambda p: optim.LOMO(p, 0.3), lambda p: torch.optim.SGD(p, 0.3)]
    for make in makes:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(11, 6, sparse=True), nn.Linear(6, 11))
        ends.append(fit(model, make(model.parameters()), 0, 5))
    assert same(*ends)
    clipped = optim.LOMO([p := nn.Parameter(torch.ones(3, 2))], clip_value=1.0)
    with pytest.raises(TypeError, match="is for dense gradients"):
        nn.functional.embedding(torch.tensor([1]), p, sparse=True).sum().backward()
    clipped.remove()


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, 30, cycle_momentum=False),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_lr_schedulers_and_groups_set_the_rate_of_the_next_backward(name: str) -> None:
    ends = []
    for make in (optim.LOMO, torch.optim.SGD):
        model: Any = seeded(mlp)
        optimizer = make([{"params": model[0].parameters(), "lr": 0.5}, {"params": model[1:].parameters()}], lr=0.1)
        ends.append(fit(model, optimizer, 0, 20, SCHEDULERS[name](optimizer)))
    assert same(*ends)


def test_decay_is_decoupled_and_clipping_is_by_value() -> None:
    p = nn.Parameter(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    optimizer = optim.LOMO([p], 0.1, weight_decay=0.5, clip_value=1.0)
    (p * torch.tensor([0.5, -4.0, 2.0])).sum().backward()
    optimizer.step()
    expected = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) * (1 - 0.1 * 0.5)
    expected -= 0.1 * torch.tensor([0.5, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(p.detach(), expected, rtol=1e-15, atol=0)


def test_evaluation_without_gradients_moves_nothing_and_is_no_step() -> None:
    model = seeded(mlp)
    optimizer = optim.LOMO(model.parameters(), 0.3)
    with torch.no_grad():
        loss_of(model, 0)
    assert same(model, seeded(mlp))
    with pytest.raises(RuntimeError, match="call backward"):
        optimizer.step()


def test_a_second_backward_before_step_is_refused_and_moves_nothing() -> None:
    model = seeded(mlp)
    optimizer = optim.LOMO(model.parameters(), 0.3)
    loss_of(model, 0).backward()
    before = copy.deepcopy(model)
    with pytest.raises(RuntimeError, match="cannot be accumulated"):
        loss_of(model, 1).backward()
    assert same(model, before)
    optimizer.step()
    with pytest.raises(RuntimeError, match="call backward"):
        optimizer.step()
    fit(model, optimizer, 1, 3)
    assert optimizer.steps == 3


def test_a_closure_is_run_with_gradients_and_its_loss_returned() -> None:
    mine, theirs = seeded(mlp), seeded(mlp)
    optimizer = optim.LOMO(mine.parameters(), 0.3)

    def closure() -> Tensor:
        loss = loss_of(mine, 0)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == loss_of(theirs, 0).item()
    assert same(mine, fit(theirs, torch.optim.SGD(theirs.parameters(), 0.3), 0, 1))


def test_after_remove_gradients_stay_and_weights_do_not_move() -> None:
    model = seeded(mlp)
    optimizer = optim.LOMO(model.parameters(), 0.3)
    optimizer.remove()
    loss_of(model, 0).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert same(model, seeded(mlp))
    with pytest.raises(RuntimeError, match="hooks were removed"):
        optimizer.step()


def test_frozen_parameters_take_part_once_they_are_unfrozen() -> None:
    ends = []
    for make in (optim.LOMO, torch.optim.SGD):
        model: Any = seeded(mlp)
        model[1].requires_grad_(False)
        optimizer = make(model.parameters(), lr=0.3)
        assert not model[1].weight.requires_grad
        fit(model, optimizer, 0, 5)
        model[1].requires_grad_(True)
        ends.append(fit(model, optimizer, 5, 10))
    assert same(*ends)


@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_a_resumed_run_goes_on_identically_and_a_copy_alone_is_not_hooked(way: str) -> None:
    model = seeded(mlp)
    optimizer = optim.LOMO(model.parameters(), 0.3)
    optimizer.param_groups[0]["lr"] = 0.2
    fit(model, optimizer, 0, 5)
    alone = copy.deepcopy(model)
    if way == "deepcopy":
        other, second = copy.deepcopy((model, optimizer))
    else:
        other = copy.deepcopy(model)
        second = optim.LOMO(other.parameters(), 0.3)
        second.load_state_dict(optimizer.state_dict())
    fit(model, optimizer, 5, 10)
    fit(other, second, 5, 10)
    assert same(model, other)
    loss_of(alone, 0).backward()
    assert all(p.grad is not None for p in alone.parameters())


def test_options_that_it_cannot_serve_are_refused() -> None:
    p = [nn.Parameter(torch.ones(2))]
    for options, says in (({"lr": -1.0}, "lr=-1.0"), ({"clip_value": 0.0}, "clip_value=0.0: must be a number above 0")):
        with pytest.raises(ValueError, match=says):
            optim.LOMO(p, **options)
    with pytest.raises(ValueError, match="weight_decay"):
        optim.LOMO(p, weight_decay=float("nan"))
    p[0].sum().backward()
    assert p[0].grad is not None, "what was refused has hooked nothing"


class Failing(torch.autograd.Function):
    """The identity, whose backward raises."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise MemoryError("no memory")


@pytest.mark.parametrize("around", [False, True])
def test_after_a_backward_that_failed_halfway_zero_grad_lets_the_next_begin_and_no_other(around: bool) -> None:
    first, last = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer: Any = optim.LOMO([first, last], lr=0.1)
    optimizer = optim.Lookahead(optimizer, 100) if around else optimizer
    with pytest.raises(MemoryError):
        (Failing.apply(first) * last).sum().backward()
    assert torch.equal(first, torch.ones(2))
    assert torch.equal(last, torch.full((2,), 0.9))
    with pytest.raises(RuntimeError, match="zero_grad"):
        (first * last).sum().backward()
    optimizer.zero_grad()
    (first + last).sum().backward()
    optimizer.zero_grad()  # does not let a whole one be followed by another without a step
    with pytest.raises(RuntimeError, match="second backward"):
        (first + last).sum().backward()
    optimizer.step()
    torch.testing.assert_close(last.detach(), torch.full((2,), 0.8))
