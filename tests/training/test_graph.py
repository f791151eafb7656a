"""A step that is recorded once and replayed trains as plain steps do; shown without a GPU (see `tape`)."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from optim import cpu_rows
from optim.stacked import Stacked
from runner.config.schedules import OneCycleSettings
from runner.config.settings import LookaheadSettings
from runner.data.dataset import Dataset
from runner.training.graph import Graph, Recorded
from runner.training.rows import BestEpochs
from runner.training.stack import Stack
from runner.training.state import Run, capture, restore, tensors
from runner.trials.trial import Trial
from tests import elsewhere
from tests.helpers import images, tokens, trial
from tests.simulators import tape

CPU = torch.device("cpu")
CASES: dict[str, tuple[Dataset, dict[str, Any]]] = {
    "resnet": (images(70, flip=True, pad=1), {"model": "resnet"}),
    "shakeshake": (images(70, flip=True, pad=1), {"model": "shakeshake"}),
    "transformer": (tokens(70), {"model": "transformer"}),
    "text": (tokens(70, per_position=True), {"model": "transformer"}),
    "sgd": (images(70), {"name": "sgdw"}),
    "lookahead": (images(70), {"lookahead": LookaheadSettings(k=3)}),
    "loss multiplier": (images(70), {"loss_multiplier": 8.0}),
    "every step its own rate": (images(70), {"schedule": OneCycleSettings("onecycle", warmup_steps=5), "wd": 0.5}),
    "bfloat16": (images(70), {"precision": "bf16"}),
    "float16": (images(70), {"precision": "fp16"}),
}


class PlainLaunch:
    """Stands for `optim.cuda.launch.Launch`: rows found by a clock, and the step itself, as operators."""

    def __init__(self, optimizer: Stacked) -> None:
        self.plain = Stacked(optimizer.parameters, optimizer.family, [True] * len(optimizer.parameters))
        self.plain.moments1, self.plain.moments2 = optimizer.moments1, optimizer.moments2
        self.plain.kinds = optimizer.kinds

    def prepare(self, rows: Tensor, *controls: Tensor | None) -> None:
        assert rows.dtype == torch.float32

    def release(self) -> None:
        self.released = True

    @contextmanager
    def capture(self) -> Iterator[None]:
        yield

    def step(
        self, gradients: list[Tensor], rows: Tensor, live: Tensor, scale: Tensor | None, clock: Tensor | None
    ) -> None:
        row = rows if clock is None else rows.index_select(0, clock)[0]
        self.plain.step(row, live, scale)


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    tape.pretend(monkeypatch)
    monkeypatch.setattr(Graph, "refused", False)
    monkeypatch.setattr(cpu_rows, "serves", lambda parameters: False)  # the step that is made for the CPU


def made(trials: list[Trial], dataset: Dataset, graph: bool = True) -> Stack:
    """A stack as it would be on a GPU, where rows are float32."""
    stack = Stack(trials, dataset, CPU)
    rows = stack._rows
    stack._rows = lambda epoch: rows(epoch).float()  # type: ignore[method-assign]
    if graph:
        assert isinstance(stack.step.optimizer, Stacked)
        stack.step.optimizer.launch = PlainLaunch(stack.step.optimizer)
        stack.graph = Graph(stack.step, stack.feed, CPU)
        tape.Tape.state = [*tensors(stack), stack.step.number, stack.graph.clock]
    return stack


def pair(case: str, **more: Any) -> tuple[list[Trial], Dataset]:
    """Two trials of 20 steps; every fifth has fewer examples."""
    dataset, about = CASES[case]
    first = trial(dataset, epochs=4, **about | more)
    return [first, replace(first, seed=1, lr=1e-3)], dataset


def trained(stack: Stack, first: int = 0) -> Stack:
    for epoch in range(first, stack.epochs):
        stack.run_epoch(epoch)
    return stack


def recorded(stack: Stack) -> bool:
    assert stack.graph is not None
    return stack.graph.full.graph is not None


def assert_equal(mine: Stack, theirs: Stack) -> None:
    for a, b in zip(tensors(mine), tensors(theirs), strict=True):
        torch.testing.assert_close(a[: mine.count], b[: mine.count], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_train_as_plain_steps_do(case: str) -> None:
    mine = trained(made(*pair(case)))
    assert recorded(mine)
    assert mine.graph is not None
    assert mine.graph.rest.graph is not None  # an epoch's last step, which has fewer examples
    assert_equal(mine, trained(made(*pair(case), graph=False)))


def test_an_epoch_waits_for_the_stream_of_the_graphs_once_and_not_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = trained(made(*pair("resnet")))
    monkeypatch.setattr(tape.Stream, "waits", 0)
    stack.run_epoch(3)
    assert stack.per_epoch == 5
    assert tape.Stream.waits == 2  # one before its steps, and one behind


def test_a_trial_that_diverges_in_a_recorded_step_stops_there_alone() -> None:
    stacks = [made(*pair("resnet"), graph=graph) for graph in (True, False)]
    for stack in stacks:
        stack.run_epoch(0)
        with torch.no_grad():
            stack.parameters[0][1] = float("inf")
        trained(stack, 1)
    assert recorded(stacks[0])
    assert stacks[0].died_at() == [-1, 5]
    assert_equal(*stacks)


def test_a_stack_saved_within_an_epoch_goes_on_in_a_graph_of_its_own() -> None:
    whole = trained(made(*pair("shakeshake")))
    run = Run(made(*pair("shakeshake")), BestEpochs(2, None), epoch=2)

    def stop(taken: int) -> None:
        run.step = taken
        if taken == 2:
            raise KeyboardInterrupt

    run.stack.run_epoch(0)
    run.stack.run_epoch(1)
    with pytest.raises(KeyboardInterrupt):
        run.stack.run_epoch(2, 0, stop)
    again = Run(made(*pair("shakeshake")), BestEpochs(2, None))
    assert restore(again, capture(run, 0.0))
    again.stack.run_epoch(again.epoch, again.step)
    trained(again.stack, 3)
    assert recorded(again.stack)
    assert_equal(again.stack, whole)


def ends_of_captures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the allocator is told of captures that CUDA has ended."""
    told: list[tuple[object, ...]] = []
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(torch._C, name, lambda *given, name=name: told.append((name, *given)), raising=False)
    return told


def test_a_step_that_waits_for_the_device_runs_without_a_graph_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = ends_of_captures(monkeypatch)

    def waiting() -> Stack:
        stack = made(*pair("resnet"))
        stack.model.register_forward_hook(lambda module, given, logits: logits * float(torch.isfinite(logits).all()))
        return stack

    with pytest.warns(UserWarning, match="cannot be a CUDA graph and runs without"):
        first = trained(waiting())
    assert told == [("_cuda_endAllocateToPool", 0, tape.POOL), ("_cuda_releasePool", 0, tape.POOL)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = trained(waiting())  # no second capture is tried
    assert len(told) == 2
    plain = trained(made(*pair("resnet"), graph=False))
    for stack in (first, second):
        assert not recorded(stack)
        assert_equal(stack, plain)


def test_a_capture_that_fails_takes_the_other_graph_of_its_pool_along(monkeypatch: pytest.MonkeyPatch) -> None:
    ends_of_captures(monkeypatch)
    mine = made(*pair("resnet"))
    assert mine.graph is not None
    few = mine.feed.count % mine.feed.batch_size

    def waits(module: Any, given: tuple[Tensor, ...], logits: Tensor) -> Tensor:
        return logits * float(torch.isfinite(logits).all()) if given[0].shape[1] == few else logits

    mine.model.register_forward_hook(waits)
    mine.run_epoch(0)
    assert recorded(mine)
    with pytest.warns(UserWarning, match="cannot be a CUDA graph and runs without"):
        trained(mine, 1)
    assert mine.graph.full.graph is mine.graph.rest.graph is mine.graph.pool is None
    assert mine.graph.launch.released
    assert_equal(mine, trained(made(*pair("resnet"), graph=False)))


@pytest.mark.parametrize("when", ["before", "within"])
def test_what_the_libraries_call_no_memory_is_that(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ends_of_captures(monkeypatch)
    mine = made(*pair("resnet"))
    assert mine.graph is not None

    def full(*_: object) -> Iterator[None]:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")

    if when == "before":
        mine.graph.launch.capture = contextmanager(full)
    else:
        mine.model.register_forward_hook(lambda *_: full() if tape.Tape.recording is not None else None)
    with pytest.raises(torch.OutOfMemoryError):
        trained(mine)
    assert len(told) == (0 if when == "before" else 2)  # a capture that never began has taken nothing of the pool
    assert not Graph.refused


def test_a_stack_is_gone_with_its_last_reference() -> None:
    gc.collect()
    gc.disable()
    try:
        mine = trained(made(*pair("resnet")))
        graph, weight = weakref.ref(mine.graph), weakref.ref(mine.parameters[0])
        tape.Tape.state = ()
        del mine._rows  # which refers to the stack, in this test
        del mine
        assert graph() is None
        assert weight() is None
    finally:
        gc.enable()


def test_memory_that_runs_out_in_a_capture_is_for_the_stack_to_halve(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ends_of_captures(monkeypatch)
    mine = made(*pair("resnet"))

    def full(*_: object) -> None:
        if tape.Tape.recording is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    mine.model.register_forward_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        trained(mine)
    assert len(told) == 2
    assert not Graph.refused


def test_a_capture_that_ends_well_releases_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ends_of_captures(monkeypatch)
    assert recorded(trained(made(*pair("resnet"))))
    assert not told


def test_what_python_counts_in_a_step_would_show() -> None:
    mine = made(*pair("resnet"))
    assert mine.graph is not None
    graph, table, counted = mine.graph, mine._rows(0), count()
    graph.clock = torch.zeros(1, dtype=torch.int32)  # so that no clock tells the steps apart

    def one(kind: Recorded) -> None:
        step = next(counted) % 4
        graph.step(mine.feed.batch(step), table[step])

    graph._one = one  # type: ignore[method-assign]
    trained(mine)
    with pytest.raises(AssertionError):
        assert_equal(mine, trained(made(*pair("resnet"), graph=False)))


@pytest.mark.campaign
def test_the_kernel_in_a_recorded_step(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed, so its interpreter cannot run the kernel")
    file = elsewhere.SIMULATORS / "interpreted_graph.py"
    said = elsewhere.printed(tmp_path, file, TRITON_INTERPRET="1")
    for claim in elsewhere.claims(file):
        elsewhere.assert_passed(claim, said, "nothing here is skipped")
