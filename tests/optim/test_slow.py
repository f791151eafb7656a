"""Slow weights of a stack: each trial is pulled as it would be alone, and none mixes with another."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from optim.slow import Slow
from tests.optim.citizens import same


def stack(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Parameters of four trials, [4, ...]."""
    g = torch.Generator().manual_seed(0)
    return [torch.randn(4, *s, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for s in [(3, 2), (5,), ()]]


def drift(p: list[Tensor], step: int) -> None:
    """Stands for an optimizer step."""
    g = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for q in p:
            q += torch.randn(q.shape[1:], generator=g, dtype=torch.float64).to(q.dtype)  # trials see the same


K, ALPHA = torch.tensor([1, 5, 3, 0]), torch.tensor([0.25, 0.5, 0.8, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("count", ["int", "0-D tensor", "per trial"])
def test_each_trial_of_a_stack_is_pulled_as_it_would_be_alone(count: str) -> None:
    p = stack()
    slow, live = Slow(p, K, ALPHA), torch.ones(4, dtype=torch.bool)
    alone = [[q[i].detach().clone() for q in p] for i in range(4)]
    kept = [[q.clone() for q in trial] for trial in alone]
    for step in range(1, 16):
        drift(p, step)
        taken: Any = {"int": step, "0-D tensor": torch.tensor(step), "per trial": torch.full((4,), step)}[count]
        slow.step(taken, live)
        for i, (trial, begun) in enumerate(zip(alone, kept, strict=True)):
            g = torch.Generator().manual_seed(step)
            for q, s in zip(trial, begun, strict=True):
                q += torch.randn(q.shape, generator=g, dtype=torch.float64)
                if K[i] and step % int(K[i]) == 0:
                    s += ALPHA[i] * (q - s)
                    q.copy_(s)
    for i, trial in enumerate(alone):
        for q, expected in zip(p, trial, strict=True):
            torch.testing.assert_close(q[i].detach(), expected, rtol=1e-13, atol=1e-14)


def test_trials_that_are_not_live_or_not_due_keep_their_bits_whatever_the_others_hold() -> None:
    p = stack(torch.float32)
    slow = Slow(p, 1, 0.5)
    live = torch.tensor([True, False, True, True])
    drift(p, 1)
    with torch.no_grad():
        for q in p:
            q[0], q[1] = torch.nan, torch.inf
    before = [q.detach().clone() for q in p]
    healthy = [q.clone() for q in slow.slow]
    slow.step(torch.tensor([1, 1, 1, 1]), live)
    for q, s, was, begun in zip(p, slow.slow, before, healthy, strict=True):
        assert q[0].isnan().all()
        assert torch.equal(q[1], was[1])
        assert torch.equal(s[1], begun[1])
        torch.testing.assert_close(q[2:].detach(), (was[2:] + begun[2:]) / 2)
        assert torch.equal(q[2:], s[2:])


def test_slow_weights_of_a_stack_go_on_from_their_state() -> None:
    whole = stack()
    one = Slow(whole, K, ALPHA)
    mine = stack()
    first, live = Slow(mine, K, ALPHA), torch.ones(4, dtype=torch.bool)
    for step in range(1, 21):
        drift(whole, step)
        one.step(step, live)
        if step == 8:
            second = Slow(mine, K, ALPHA)
            second.load_state_dict(copy.deepcopy(first.state_dict()))
            first = second
        drift(mine, step)
        first.step(step, live)
    assert same(mine, whole)


def test_a_pull_asks_nothing_of_the_host() -> None:
    with torch.device("meta"):  # values are not there to be asked for
        p = [torch.zeros(4, 3), torch.zeros(4)]
        live, taken = torch.ones(4, dtype=torch.bool), torch.zeros((), dtype=torch.int64)
    Slow(p, K, ALPHA).step(taken, live)
    assert all(t.is_meta for t in p)


def test_what_it_cannot_serve_is_refused() -> None:
    for stacked, says in (
        ({"k": -1}, "0 or more"),
        ({"k": torch.tensor([1, 2])}, "one for each of 3"),
        ({"alpha": 2.0}, "between"),
    ):
        with pytest.raises(ValueError, match=says):
            Slow([torch.zeros(3, 2)], **stacked)
