"""Which operators lanes call, and on which streams; the streams are stand-ins, so that no GPU is needed to tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from runner.models import branches
from runner.models.lanes import Lanes
from runner.training.stack import Stack
from tests.training.test_lanes import CASES, CPU, trials

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)
GROUPS = {CONVOLUTIONS[0]: 8, CONVOLUTIONS[1]: 9}  # the place of the number of groups among the arguments


class Stream:
    """Stands for torch.cuda.Stream: keeps what it waited for, and what was queued meanwhile, in order."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wait_stream(self, other: Stream) -> None:
        Queue.log.append((self.name, f"waits for {other.name}"))


class Queue(TorchDispatchMode):
    """Notes each operator beside the stream on which it would be queued."""

    log: ClassVar[list[tuple[str, str]]] = []
    now: ClassVar[Stream]

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[tuple[Any, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in GROUPS:
            self.groups.append((func, args[GROUPS[func]]))
            Queue.log.append((Queue.now.name, "convolution"))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    side = tuple(Stream(f"side {i}") for i in range(branches.COUNT))
    Queue.log, Queue.now = [], Stream("main")

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before, Queue.now = Queue.now, stream
        yield
        Queue.now = before

    monkeypatch.setattr(branches, "streams", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Queue.now)


@pytest.mark.parametrize("case", ["resnet", "shakeshake"])
def test_no_operator_of_a_step_or_an_evaluation_is_a_grouped_convolution(case: str) -> None:
    stack = Stack(trials(case, True), CASES[case][0], CPU)
    with Queue() as seen:
        stack.run_epoch(0)
        stack.scores("val")
    assert {func for func, _ in seen.groups} == set(CONVOLUTIONS)
    assert {groups for _, groups in seen.groups} == {1}


def test_the_same_look_finds_the_groups_of_a_stack() -> None:
    stack = Stack(trials("resnet", False), CASES["resnet"][0], CPU)
    with Queue() as seen:
        stack.run_epoch(0)
    assert {groups for _, groups in seen.groups} == {len(stack.trials)}


def test_each_lane_is_on_a_stream_of_its_own_between_two_waits() -> None:
    """It begins after what was queued before, and what is queued after waits for it."""
    stack = Stack(trials("resnet", True), CASES["resnet"][0], CPU)
    assert isinstance(stack.network, Lanes)
    x = torch.zeros(3, 2, 3, 8, 8)
    with Queue(), torch.no_grad():
        stack.network(x)
    side = ["side 0", "side 1", "side 2"]
    begin, end = [(s, "waits for main") for s in side], [("main", f"waits for {s}") for s in side]
    assert Queue.log[:3] == begin
    assert Queue.log[-3:] == end
    between = Queue.log[3:-3]
    assert {what for _, what in between} == {"convolution"}
    each = [[stream for stream, _ in between].count(s) for s in side]
    assert len(between) == sum(each)
    assert len(set(each)) == 1
