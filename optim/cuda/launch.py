"""One launch for many tensors: `Launch(parameters, moments1, moments2, groups, trials, family)`, then its `step`.

The host side of `optim.cuda.kernel`: tables of blocks and addresses, checks, and what a CUDA graph needs. It takes CUDA
tensors. Triton is imported only when a `Launch` is made.

A CUDA graph replays kernels with the arguments that they were captured with. Here those are addresses of tables on the
device, so rates, decay and step count are read anew at every replay:

    table = upload(rows, device)                    # float32 [S, G, COLUMNS, R]: the rows of all steps to come
    clock = torch.full((1,), -1, dtype=torch.int32, device=device)
    launch.prepare(table, live, clock=clock)        # compiles and loads, steps nothing
    with launch.capture(), torch.cuda.graph(graph): # in this order
        clock += 1
        ...                                         # forward, and backward from `.grad = None`
        launch.step([p.grad for p in parameters], table, live, clock=clock)
    graph.replay()                                  # capturing recorded the step, it did not take it

Call `launch.check()` before a replay if parameters may have been moved, and `launch.release()` when the graphs are
gone. A step that could not be replayed is refused with a RuntimeError while it is captured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from optim.cuda import kernel_for
from optim.cuda.layout import Controls, arranged, blocks, refuse_unserved, upload


class Launch:
    """Steps many tensors, each of R = `trials` trials, in one kernel launch.

    The step is that of torch's fused optimizers on a CPU, to the bit. Parameters and gradients may move to other memory
    between eager steps; moments may not.

    Args:
        parameters: T tensors, float32 on one CUDA device. With R > 1 the first axis is the trial axis; with R = 1 any
            shape, and any layout without gaps.
        moments1: the first moments, or SGD's momentum buffers: float32, in the parameters' shapes and layouts.
        moments2: the second moments, likewise; () for SGD.
        groups: for each tensor which row of coefficients it takes, from 0.
        trials: R.
        family: "adam" or "sgd".

    Raises:
        ValueError: for tensors that are not served.
        ImportError: without Triton, or without the C compiler that it needs.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        moments1: Sequence[Tensor],
        moments2: Sequence[Tensor],
        groups: Sequence[int],
        trials: int,
        family: str,
    ) -> None:
        if family not in ("adam", "sgd"):
            raise ValueError(f"family {family!r}: must be adam or sgd")
        if bool(moments2) != (family == "adam"):
            raise ValueError("moments2 belong to adam and only to adam")
        self.parameters, self.moments1, self.moments2 = list(parameters), list(moments1), list(moments2)
        self.groups, self.trials, self.family = list(groups), trials, family
        refuse_unserved(self.parameters, self.moments1, self.moments2, trials)
        self.device = self.parameters[0].device
        self._kernel = kernel_for(self.device)
        self._sizes = sizes = [p.numel() // trials for p in self.parameters]
        self._blocks = blocks(sizes, self.groups, trials, self._kernel.BLOCK).to(self.device)
        # Both tables, int64 [T, 4] and [T], stay at their addresses, for graphs read them there. A gradient whose
        # address is 0 is none.
        self._tensors = torch.zeros(len(sizes), 4, dtype=torch.int64, device=self.device)
        self._gradients = torch.zeros(len(sizes), dtype=torch.int64, device=self.device)
        self._placed: list[list[int]] = []  # the addresses in the table of tensors, as `_facts` gives them
        self._homes: list[int] = []  # those of the parameters among them
        self._seen: tuple[list, list] | None = None  # addresses and strides of the gradients in their table
        # Compiled kernels by what they were compiled for. They are held here: freeing one during a capture ends it.
        self._loaded: dict[tuple, Any] = {}
        self._graphs: list[Any] = []  # the tensors that captured launches read, which must live as long as the graphs
        # During `capture`: a table of gradients for each step, [steps, T], and the addresses that go into it so far.
        self._recording: tuple[Tensor, list[list[int]]] | None = None

    def step(
        self,
        gradients: Sequence[Tensor | None],
        rows: Tensor,
        live: Tensor | None = None,
        scale: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> None:
        """Step every tensor that has a gradient.

        Args, all on the device:
            gradients: T of them, float32 in the shapes of the parameters, or None.
            rows: coefficients, float32 [G, COLUMNS, R]; with `clock` a table of S steps, [S, G, COLUMNS, R].
            live: bool [R]; where it is False a trial rests, whatever its gradients hold. None: all are live.
            scale: float32 [R], multiplies the gradients. None: 1.
            clock: int32 [1], the index of the step in the table; outside of it all trials rest.

        Raises:
            ValueError: for arguments that are not served.
            RuntimeError: for a step under capture that could not be replayed.
        """
        controls = self._controls(rows, live, scale, clock)
        if self._capturing():  # the gradients' addresses are not final yet, so that their table is filled later
            return self._record(gradients, controls)
        self._place()
        # Mostly autograd hands out the same memory at every step. Then the table on the device is still right, and
        # nothing is uploaded.
        try:
            seen = (
                [0 if g is None else g.data_ptr() for g in gradients],
                [g is not None and g.stride() for g in gradients],
            )
        except RuntimeError:  # a sparse gradient has no address; `arranged` will refuse it
            seen = None
        if seen is None or seen != self._seen:
            # `arranged` copies a gradient in another layout. The copy may be freed once the launch is queued: what gets
            # its memory next is queued behind it. But then its address says nothing about the next step.
            served = arranged(gradients, self.parameters)
            addresses = [0 if g is None else g.data_ptr() for g in served]
            upload(torch.tensor(addresses), self._gradients)
            self._seen = seen if all(a is b for a, b in zip(served, gradients, strict=True)) else None
        self._start(len(self._blocks), self._gradients, controls)

    def prepare(
        self,
        rows: Tensor,
        live: Tensor | None = None,
        scale: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> None:
        """Compile and load the kernel that `step` with such arguments would launch. Steps nothing: all gradients are 0.

        `rows`, `live`, `scale`, `clock` and ValueError as in `step`. Under capture nothing can be compiled or loaded,
        so call this before.
        """
        self._place()
        self._start(1, torch.zeros_like(self._gradients), self._controls(rows, live, scale, clock))

    @contextmanager
    def capture(self, steps: int = 1) -> Iterator[None]:
        """Around the capture of a graph that calls `step` `steps` times; see the top of this file.

        The gradients lie in the graph's own memory, at addresses that are known only once it is captured. The tables of
        these must be allocated outside of that memory, or the graph would write over them. So the tables are made
        before the capture and filled after it.
        """
        if self._recording is not None or self._capturing():
            raise RuntimeError("enter launch.capture() before torch.cuda.graph, and only once")
        self._place()
        tables = torch.zeros(steps, len(self.parameters), dtype=torch.int64, device=self.device)
        addresses: list[list[int]] = []
        self._recording = tables, addresses
        held = len(self._graphs)
        try:
            yield
            if len(addresses) != steps:
                raise RuntimeError(f"the capture recorded {len(addresses)} steps, {steps} were announced")
            upload(torch.tensor(addresses), tables)
            if self.device.type == "cuda":
                torch.cuda.current_stream(self.device).synchronize()  # from now on any stream may replay the graph
        except BaseException:  # the graph will not be replayed: it needs no tensors
            del self._graphs[held:]
            raise
        finally:
            self._recording = None

    def check(self) -> None:
        """RuntimeError if a parameter or moment is no longer where the captured graphs step it."""
        if self._graphs and self._facts() != self._placed:
            raise RuntimeError("a parameter or moment has moved since its graph was captured: release() and recapture")

    def release(self) -> None:
        """Forget captured launches; the graphs that hold them must not be replayed any more."""
        self._graphs.clear()

    def _capturing(self) -> bool:
        return self.device.type == "cuda" and torch.cuda.is_current_stream_capturing()

    def _facts(self) -> list[list[int]]:
        """The addresses in the table of tensors: of weights, first and second moments, 0 where there are none."""
        weights, first, second = (
            [t.data_ptr() for t in some] for some in (self.parameters, self.moments1, self.moments2)
        )
        return [weights, first, second or [0] * len(weights)]

    def _place(self) -> None:
        """Bring the table of tensors up to date if parameters have moved."""
        if [p.data_ptr() for p in self.parameters] == self._homes:
            return  # moments do not move, so the parameters alone are asked at every step
        self.check()
        refuse_unserved(self.parameters, self.moments1, self.moments2, self.trials)
        self._placed = self._facts()
        self._homes = self._placed[0]
        upload(torch.tensor([self._sizes, *self._placed]).T.contiguous(), self._tensors)
        self._seen = None  # the parameters' layout may have changed, and then gradients must be arranged anew

    def _record(self, gradients: Sequence[Tensor | None], controls: Controls) -> None:
        """A step under capture: its table of gradients is filled when `capture` ends."""
        if self._recording is None:
            raise RuntimeError("a step in a CUDA graph needs `with launch.capture(), torch.cuda.graph(graph):`")
        tables, addresses = self._recording
        if len(addresses) == len(tables):
            raise RuntimeError(f"only {len(tables)} steps were announced: launch.capture(steps=...)")
        # What a graph does is fixed when it is captured: a tensor without a gradient then would never be stepped.
        missing = [index for index, g in enumerate(gradients) if g is None]
        if missing:
            raise RuntimeError(f"parameters {missing} have no gradient: the graph would never step them")
        if self._facts() != self._placed:
            raise RuntimeError("a parameter or moment has moved since launch.capture() began")
        served = arranged(gradients, self.parameters)
        if controls.kinds() not in self._loaded:
            raise RuntimeError("nothing can be compiled under capture: launch.prepare(...) with these arguments first")
        # The graph reads these tensors by address at every replay, so that they must not be freed before it is.
        self._graphs.append((tables, controls))
        addresses.append([g.data_ptr() for g in served if g is not None])
        self._start(len(self._blocks), tables[len(addresses) - 1], controls)

    def _controls(self, rows: Tensor, live: Tensor | None, scale: Tensor | None, clock: Tensor | None) -> Controls:
        controls = Controls(rows if clock is not None else rows[None], live, scale, clock)
        controls.refuse_unserved(self.device, max(self.groups) + 1, self.trials)
        return controls

    def _start(self, programs: int, table: Tensor, controls: Controls) -> None:
        """Launch that many programs, one for each block; `table`: the addresses of gradients, int64 [T]."""
        rows, live, scale, clock = controls
        if not len(self._blocks):
            return
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            compiled = self._kernel.step[(programs,)](
                *(self._blocks, self._tensors, table, rows, clock, live, scale),
                *(len(rows), rows.shape[1], self.trials),
                ADAM=self.family == "adam",
                BLOCK=self._kernel.BLOCK,
                num_warps=self._kernel.WARPS,
                enable_fp_fusion=False,  # a fused multiplication and addition would be rounded once, not twice
            )
        self._loaded[controls.kinds()] = compiled
