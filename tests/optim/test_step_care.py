"""What surrounds the arithmetic of a step: autograd's versions, memory, threads, memory formats, gaps in gradients."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import optim
from optim.rules import Rule
from optim.stacked import Stacked, table
from tests.optim.citizens import OURS, Make, weights

ALL: dict[str, Make] = OURS | {
    "SparseAdamW": lambda p: optim.SparseAdamW(p, 1e-2),
    "LOMO": lambda p: optim.LOMO(p, 1e-2),
    "Lookahead": lambda p: optim.Lookahead(optim.SGD(p, 1e-2)),
}


@pytest.mark.parametrize("size", [3, 5000])
@pytest.mark.parametrize("name", ALL)
def test_a_graph_of_the_weights_before_a_step_raises_after_it(name: str, size: int) -> None:
    p, x = torch.ones(size, requires_grad=True), torch.ones(size, requires_grad=True)
    optimizer = ALL[name]([p])
    stale = (p * x).sum()
    p.grad = torch.zeros(size)  # without decay nothing moves, and still this is another step's graph
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


@pytest.mark.parametrize("size", [8, 5000])
@pytest.mark.parametrize("optimizer", ["adamw", "sgdw"])
def test_so_does_a_graph_of_a_stack(optimizer: str, size: int) -> None:
    p, x = torch.ones(2, size, requires_grad=True), torch.ones(2, size, requires_grad=True)
    stack = Stacked([p], Rule(optimizer, 1e-3).family, [True])
    stale = (p * x).sum()
    p.grad = torch.zeros(2, size)
    stack.step(table([Rule(optimizer, 1e-3)] * 2, np.ones(1))[0], torch.ones(2, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


@pytest.mark.parametrize("fresh", [True, False], ids=["new gradient", "old gradient"])
@pytest.mark.parametrize("name", OURS)
def test_a_parameter_whose_data_changed_size_is_refused_in_one_line_or_begins_anew(name: str, fresh: bool) -> None:
    p, other = torch.ones(10, requires_grad=True), torch.ones(3, requires_grad=True)
    optimizer = OURS[name]([{"params": [other]}, {"params": [p]}])
    p.grad, other.grad = torch.ones(10), torch.ones(3)
    optimizer.step()
    before = other.detach().clone()
    p.data = torch.ones(64)
    if fresh:
        p.grad = torch.ones(64)
    if fresh and name == "SGD plain":  # has no state that could be of another size
        optimizer.step()
        return
    with pytest.raises((ValueError, TypeError), match=r"\(64,\)") as refusal:
        optimizer.step()
    assert "\n" not in str(refusal.value)
    assert torch.equal(other.detach(), before)
    p.grad = torch.ones(64)
    optimizer.state.pop(p, None)
    optimizer.step()
    assert not torch.equal(p.detach(), torch.ones(64))


def test_a_thread_that_first_uses_torch_during_a_small_step_sees_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen, operator = torch.get_num_threads(), [], torch._fused_adam_
    torch.set_num_threads(3)

    def watched(*lists: Any, **named: Any) -> None:
        seen.append(torch.get_num_threads())
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        operator(*lists, **named)

    try:
        p = torch.ones(8, requires_grad=True)
        p.grad = torch.ones(8)
        optimizer = optim.Adam([p])
        monkeypatch.setattr(torch, "_fused_adam_", watched)
        optimizer.step()
        assert seen == [1, 3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("LOMO", "SGD plain", "Lookahead")])
def test_moments_follow_a_parameters_memory_format(name: str) -> None:
    model = nn.Conv2d(3, 4, 3)
    optimizer = ALL[name](model.parameters())
    for layout in (torch.contiguous_format, torch.channels_last, torch.contiguous_format):
        model.to(memory_format=layout)
        model(torch.ones(1, 3, 5, 5)).sum().backward()
        optimizer.step()
        moments = [v for k, v in optimizer.state[model.weight].items() if k.startswith(("exp", "mom"))]
        assert moments
        assert all(m.stride() == model.weight.stride() for m in moments) or name == "SparseAdamW"


@pytest.mark.parametrize("name", ["Adam", "AdamW", "AdamW small", "SGD", "SGDW"])
def test_gradients_that_are_missing_at_random_leave_one_call_of_the_operator(name: str) -> None:
    p = [torch.ones(5, requires_grad=True) for _ in range(30)]
    optimizer: Any = OURS[name](p)
    g = torch.Generator().manual_seed(0)
    for _ in range(50):
        there = torch.rand(30, generator=g) < 0.5
        for q, has in zip(p, there.tolist(), strict=True):
            q.grad = torch.ones(5) if has else None
        optimizer.step()
    assert len(optimizer._snapshot.cohorts) == 1
    counts = [float(optimizer.state[q].get("step", 0)) for q in p]
    assert len(set(counts)) > 1 or name.startswith("SGD")


def test_float64_gets_exactly_the_decay_that_was_asked_for_at_every_step() -> None:
    p = torch.ones(4, dtype=torch.float64, requires_grad=True)
    p.grad = torch.zeros_like(p)
    optimizer = optim.AdamW([p], 1e-3, weight_decay=1e-4)
    expected = torch.ones(4, dtype=torch.float64)
    for _ in range(100):
        optimizer.step()
        expected *= 1 - 1e-3 * 1e-4
        torch.testing.assert_close(p.detach(), expected, rtol=1e-15, atol=0)
    assert "decay_owed" not in optimizer.state[p]


@pytest.mark.parametrize("way", ["state_dict", "deepcopy", "pickle", "add_param_group"])
def test_decay_that_was_saved_up_is_paid_once_whatever_happens_between(way: str) -> None:
    p = [torch.ones(4, requires_grad=True)]
    optimizer = optim.AdamW(p, 1e-3, weight_decay=1e-3)
    p[0].grad = torch.zeros(4)
    for _ in range(7):
        optimizer.step()
    if way == "state_dict":
        optimizer.load_state_dict(optimizer.state_dict())
    elif way == "deepcopy":
        p, optimizer = copy.deepcopy((p, optimizer))
    elif way == "pickle":
        p, optimizer = pickle.loads(pickle.dumps((p, optimizer)))
    else:
        optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)]})
    ends: list[Tensor] = []
    for _ in range(3):
        optimizer.release_decay()
        ends.append(p[0].detach().clone())
    torch.testing.assert_close(1 - ends[0].double(), torch.full((4,), 7e-6).double(), rtol=2e-2, atol=0)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_a_schedulers_own_peak_rate_is_warned_of_once_in_the_papers_convention() -> None:
    p = weights()
    optimizer = optim.AdamW(p, 1e-3, weight_decay=1e-4, convention="paper")
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=20)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(15):
            for q in p:
                q.grad = torch.ones_like(q)
            optimizer.step()
            schedule.step()
    assert len([w for w in said if "max_lr" in str(w.message)]) == 1
