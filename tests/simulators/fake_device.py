"""Training on a device that is not the CPU, shown on one without memory; `test_device` runs this file.

Tensors of the device "gpu" have shapes and places but no numbers, so an operator that mixes places fails, and so does
whatever would wait for the device to learn a number. By itself: python -m pytest tests/simulators/fake_device.py
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from optim.slow import Slow
from runner.data.dataset import Dataset
from runner.training import memory
from runner.training.evaluate import evaluate
from runner.training.memory import predicted, room
from runner.training.stack import Stack
from runner.training.unstacked import Unstacked
from tests.helpers import images, tokens, trial

_setup_privateuseone_for_python_backend("gpu")
torch.gpu.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
GPU = torch.device("gpu:0")
CASES: dict[str, tuple[Dataset, dict[str, Any]]] = {
    "resnet": (images(flip=True, pad=1), {"model": "resnet"}),
    "plain images": (images(), {"model": "resnet"}),
    "shakeshake": (images(flip=True, pad=1), {"model": "shakeshake"}),
    "transformer": (tokens(), {"model": "transformer"}),
    "text": (tokens(per_position=True), {"model": "transformer"}),
    "sgd": (images(), {"name": "sgd"}),
    "loss multiplier": (images(), {"loss_multiplier": 8.0}),
}


def moved(module: nn.Module, to: torch.device | torch.dtype) -> nn.Module:
    """`module.to`, which cannot exchange tensors that have no memory: new ones take their places."""
    for part in module.modules():
        for name, p in part._parameters.items():
            part._parameters[name] = None if p is None else nn.Parameter(p.detach().to(to))
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(to)
    return module


@pytest.fixture(autouse=True)
def no_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr("runner.training.stack.autocast", lambda *_: torch.autocast("cpu", enabled=False))
    tensor = torch.tensor  # would look for the device's memory
    monkeypatch.setattr(torch, "tensor", lambda data, device=None, **more: tensor(data, **more).to(device or "cpu"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def made(case: str, **more: Any) -> Stack:
    dataset, about = CASES[case]
    trials = [trial(dataset, **about | {"seed": seed} | more) for seed in (0, 0, 1)]
    stack = Stack(trials, dataset, GPU)
    stack.model.train()
    stack.feed.epoch(0)
    return stack


def places(stack: Stack) -> set[str]:
    step = stack.step
    kept = [*stack.parameters, *stack.model.buffers(), *step.optimizer.moments1, step.live, step.died, step.total]
    return {str(t.device) for t in [*kept, stack.feed.order, stack.feed.seed_index]}


def test_numbers_are_refused_here() -> None:
    with pytest.raises(DataDependentOutputException):
        float(torch.ones(3, device=GPU).sum())


@pytest.mark.parametrize("case", CASES)
def test_a_step_stays_on_the_device_and_waits_for_nothing(case: str) -> None:
    stack = made(case)
    stack.step.begin(0)
    rows = stack._rows(0)
    for step in range(stack.per_epoch):  # the last with fewer examples
        stack.step(stack.feed.batch(step), rows[step])
    assert places(stack) == {"gpu:0"}
    assert stack._weight_norm().device == GPU


@pytest.mark.parametrize("case", CASES)
def test_a_clock_on_the_device_finds_a_batch_like_the_hosts(case: str) -> None:
    stack = made(case)
    clock = torch.zeros(1, dtype=torch.int32, device=GPU)
    for mine, theirs in zip(stack.feed.at(clock), stack.feed.batch(0), strict=True):
        assert (mine is None) == (theirs is None)
        if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
            assert (mine.shape, mine.dtype, mine.device) == (theirs.shape, theirs.dtype, theirs.device)


def test_a_step_in_float16_waits_for_nothing() -> None:
    stack = made("resnet", precision="fp16")
    rows = stack._rows(0)
    stack.step(stack.feed.batch(0), rows[0])
    assert stack.step.scale is not None
    assert stack.step.scale.value.device == GPU


def test_lookahead_waits_for_nothing() -> None:
    stack = made("resnet")
    slow = object.__new__(Slow)  # its making looks at k and alpha, which are on the host
    slow.parameters, slow.slow = stack.parameters, [p.detach().clone() for p in stack.parameters]
    slow.k, slow.alpha = (torch.ones(3, dtype=dtype, device=GPU) for dtype in (torch.int64, torch.float64))
    stack.step.slow = slow
    stack.step(stack.feed.batch(0), stack._rows(0)[0])
    assert {str(t.device) for t in slow.slow} == {"gpu:0"}


def test_lomo_says_on_the_device_that_no_gradient_is_left_to_be_infinite() -> None:
    alone = object.__new__(Unstacked)  # its making asks for what this device has not
    alone.parameters = [nn.Parameter(torch.zeros(1, 2, device=GPU))]
    assert alone.finite().device == GPU


@pytest.mark.parametrize("case", ["resnet", "transformer", "text"])
def test_an_evaluation_waits_only_at_its_end(case: str) -> None:
    stack = made(case)
    batches = []
    with pytest.raises(DataDependentOutputException):
        evaluate(
            stack.model,
            stack.splits["test"],
            stack.feed.images,
            3,
            stack.autocast,
            7,
            lambda: batches.append(None),
            True,
        )
    assert len(batches) == -(-len(stack.splits["test"].x) // 7)


@pytest.mark.parametrize("case", ["resnet", "shakeshake", "transformer", "text"])
@pytest.mark.parametrize("count", [1, 8])
def test_what_is_said_to_have_room_without_a_closer_look_has_it(
    case: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, about = CASES[case]
    trials = [trial(dataset, seed=seed, **about) for seed in range(count)]
    looked: list[int] = []

    def look(*given: Any) -> int:
        looked.append(predicted(*given))
        return looked[-1]

    monkeypatch.setattr(memory, "predicted", look)
    monkeypatch.setattr(memory, "available", lambda device: free[-1])
    free = [2.0**40]
    while not looked:  # at less and less free memory
        free.append(free[-1] / 1.2)
        assert room(trials, dataset, GPU, 1) == ""
    assert looked[0] < free[-1]


def test_a_prediction_counts_what_a_recorded_step_keeps_beside_the_rest() -> None:
    trials = {n: [trial(images(n, 4), seed=seed) for seed in range(4)] for n in (32, 47)}
    full, ragged = (predicted(trials[n], images(n, 4), GPU) for n in (32, 47))  # batches of 16, 16 and 16, 16, 15
    assert ragged > 1.4 * full
