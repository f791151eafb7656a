"""A stand-in for CUDA graphs, one level higher: operators are written down while a graph is captured, and run again.

A replay runs them on the memory they ran on. So whatever Python decides or counts in a step is frozen as in a CUDA
graph, and everything that changes from step to step has to be on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

POOL = (0, 1)
WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Tape(TorchDispatchMode):
    """Stands for torch.cuda.CUDAGraph."""

    recording: ClassVar[Tape | None] = None
    state: ClassVar[Sequence[Tensor]] = ()  # what a step changes: recording it must not

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []
        self.ended = False

    def pool(self) -> tuple[int, int]:
        if not self.ended:
            raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
        return POOL

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        # Detached, for a tape keeps its tensors and should not keep their history.
        args, kwargs = tree_map_only(Tensor, Tensor.detach, (args, kwargs or {}))
        out = func(*args, **kwargs)
        self.calls.append(lambda: _again(func, args, kwargs, out))
        return out

    def replay(self) -> None:
        with torch.no_grad(), _disable_current_modes():
            for call in self.calls:
                call()


def _again(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Run an operator on what it ran on, into the memory that it returned."""
    given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
    for new, old in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(out), strict=True):
        if isinstance(old, Tensor) and old.untyped_storage().data_ptr() not in given:
            old.copy_(new)


@contextmanager
def _capture(tape: Tape, pool: tuple[int, int], stream: Any) -> Iterator[None]:
    """Stands for torch.cuda.graph."""
    before = [t.clone() for t in Tape.state]
    Tape.recording = tape
    try:
        with tape:
            yield
        tape.ended = True
    finally:
        Tape.recording = None
        for t, old in zip(Tape.state, before, strict=True):  # what is recorded has not happened yet
            t.copy_(old)


class Stream:
    """Stands for torch.cuda.Stream: here everything happens in order, and waits are counted."""

    waits: ClassVar[int] = 0

    def wait_stream(self, other: Stream) -> None:
        Stream.waits += 1


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give torch.cuda what `runner.training.graph` asks of it."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr(torch.cuda, "graph", _capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: POOL)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
