"""A recorded step with the kernel itself, interpreted by Triton; `test_graph` runs this file in a process of its own.

By itself: TRITON_INTERPRET=1 python -m pytest tests/simulators/interpreted_graph.py
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optim import cpu_rows
from optim.cuda.launch import Launch
from optim.stacked import Stacked
from runner.training.graph import Graph
from runner.training.stack import Stack
from runner.training.state import tensors
from tests.helpers import tokens, trial
from tests.simulators import tape

CPU, DATASET = torch.device("cpu"), tokens(80)


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a graph and a launch ask of CUDA; a launch that is recorded does not run."""
    tape.pretend(monkeypatch)
    start = Launch._start

    def launched(self: Launch, *arguments: Any) -> None:
        if tape.Tape.recording is None:
            start(self, *arguments)
        else:
            tape.Tape.recording.calls.append(lambda: start(self, *arguments))

    monkeypatch.setattr(Launch, "_start", launched)
    monkeypatch.setattr(Launch, "_capturing", lambda self: tape.Tape.recording is not None)
    monkeypatch.setattr(cpu_rows, "serves", lambda parameters: False)


def trained(names: tuple[str, str], graph: bool) -> Stack:
    """Five steps; in a graph, the last two are replayed."""
    trials = [
        trial(DATASET, "transformer", name, seed=seed, lr=10 ** (seed - 3), epochs=1) for seed, name in enumerate(names)
    ]
    stack = Stack(trials, DATASET, CPU)
    o, rows = stack.step.optimizer, stack._rows
    assert isinstance(o, Stacked)
    o.launch = Launch(o.parameters, o.moments1, o.moments2, o.kinds, len(stack.trials), o.family)
    stack._rows = lambda epoch: rows(epoch).float()  # type: ignore[method-assign]
    if graph:
        stack.graph = Graph(stack.step, stack.feed, CPU)
        tape.Tape.state = [*tensors(stack), stack.step.number, stack.graph.clock]
    stack.run_epoch(0)
    return stack


@pytest.mark.parametrize("names", [("adam", "adamw"), ("sgd", "sgdw")])
def test_the_kernel_finds_gradients_and_rows_in_a_replay(names: tuple[str, str]) -> None:
    mine, theirs = trained(names, True), trained(names, False)
    assert mine.graph is not None
    assert mine.graph.full.graph is not None
    for a, b in zip(tensors(mine), tensors(theirs), strict=True):
        assert torch.equal(a, b)
