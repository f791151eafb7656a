"""One launch for many tensors: `Launch(parameters, moments1, moments2, groups, trials, family)`, then its `step`.

The host side of `optim.cuda.kernel`: tables of blocks and addresses, checks, and what a CUDA graph asks for. It needs
CUDA tensors and Triton, which is imported only when a `Launch` is made.

In a CUDA graph rates, decay and step count stay live, as device data:

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

from optim.cuda.layout import Controls, arranged, blocks, refuse_unserved


def upload(values: Tensor, to: Tensor | torch.device) -> Tensor:
    """The host tensor `values` on a device, or in a tensor there, without waiting for the copy.

    The pinned memory is new each time: torch's allocator does not hand it out again before the copy is done.
    """
    device = to.device if isinstance(to, Tensor) else to
    if device.type == "cuda":
        values = values.pin_memory()
    return to.copy_(values, non_blocking=True) if isinstance(to, Tensor) else values.to(to, non_blocking=True)


def kernel_for(device: torch.device) -> Any:
    """The module `optim.cuda.kernel`, ready to run on `device`; ImportError says what is missing for that."""
    try:
        import triton

        from optim.cuda import kernel
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("triton"):
            raise
        raise ImportError("the step on a GPU needs Triton: pip install triton") from error
    if device.type == "cuda":
        try:
            _ = triton.runtime.driver.active  # Triton compiles its driver when this is first read
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ImportError(
                "the GPU step needs Triton, and Triton needs a C compiler (install gcc or set CC): " + reason
            ) from error
    elif isinstance(kernel.step, triton.JITFunction):
        raise ValueError(f"parameters are on {device}: one launch steps CUDA tensors")
    return kernel


class Launch:
    """Steps many tensors, each of R = `trials` trials, in one kernel launch.

    `parameters`: float32. With R > 1 the first axis is the trial axis; with R = 1 any shape and any layout without
    gaps. `moments1`, `moments2` (empty for SGD): float32, in the parameters' layout.
    `groups`: which row of coefficients each tensor takes. `family`: "adam" or "sgd". The step is that of torch's fused
    optimizers on a CPU, to the bit.

    ValueError for what is not served. Parameters and gradients may move between eager steps; moments may not.
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
        # Both tables stay where they are, for graphs read them: int64 [T, 4] and [T]; all zero means no gradient.
        self._tensors = torch.zeros(len(sizes), 4, dtype=torch.int64, device=self.device)
        self._gradients = torch.zeros(len(sizes), dtype=torch.int64, device=self.device)
        self._placed: list[list[int]] = []  # what the table of tensors holds, see _facts
        self._homes: list[int] = []  # the parameters' addresses in it
        self._seen: tuple[list, list] | None = None  # gradients in the table: addresses, strides
        self._loaded: dict[tuple, Any] = {}  # compiled kernels: one that is freed during a capture ends it
        self._graphs: list[Any] = []  # what captured launches read
        self._recording: tuple[Tensor, list[list[int]]] | None = None  # tables [steps, T] and their addresses so far

    def step(
        self,
        gradients: Sequence[Tensor | None],
        rows: Tensor,
        live: Tensor | None = None,
        scale: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> None:
        """Step every tensor that has a gradient; gradients are float32.

        rows: float32 [G, COLUMNS, R] on the device; or [S, G, COLUMNS, R] with `clock`, int32 [1], the row to take:
        outside the table all trials rest. live: bool [R]; where it is False a trial rests, whatever its gradients hold.
        scale: float32 [R], multiplies the gradients.
        """
        controls = self._controls(rows, live, scale, clock)
        if self._capturing():
            return self._record(gradients, controls)
        self._place()
        try:
            seen = (
                [0 if g is None else g.data_ptr() for g in gradients],
                [g is not None and g.stride() for g in gradients],
            )
        except RuntimeError:  # sparse: no address; refused below
            seen = None
        if seen is None or seen != self._seen:
            # Copies into another layout may be freed once the launch is queued: the stream keeps the order.
            there = arranged(gradients, self.parameters)
            addresses = [0 if g is None else g.data_ptr() for g in there]
            upload(torch.tensor(addresses), self._gradients)
            self._seen = seen if all(a is b for a, b in zip(there, gradients, strict=True)) else None
        self._start(len(self._blocks), self._gradients, controls)

    def prepare(
        self,
        rows: Tensor,
        live: Tensor | None = None,
        scale: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> None:
        """Compile and load what `step` with such arguments would launch. Steps nothing."""
        self._place()
        self._start(1, torch.zeros_like(self._gradients), self._controls(rows, live, scale, clock))

    @contextmanager
    def capture(self, steps: int = 1) -> Iterator[None]:
        """Around the capture of a graph that calls `step` this many times; see the top of this file.

        The addresses of gradients in the graph's own memory are known only once it is captured, and their tables
        must be allocated outside of it, or the graph would write over them: so both happen here.
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
                torch.cuda.current_stream(self.device).synchronize()  # now any stream may replay
        except BaseException:
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
        """The table of tensors: addresses of weights and moments, 0 for none."""
        weights, first, second = (
            [t.data_ptr() for t in some] for some in (self.parameters, self.moments1, self.moments2)
        )
        return [weights, first, second or [0] * len(weights)]

    def _place(self) -> None:
        """Bring the table of tensors up to date if parameters have moved."""
        if [p.data_ptr() for p in self.parameters] == self._homes:
            return
        self.check()
        refuse_unserved(self.parameters, self.moments1, self.moments2, self.trials)
        self._placed = self._facts()
        self._homes = self._placed[0]
        upload(torch.tensor([self._sizes, *self._placed]).T.contiguous(), self._tensors)
        self._seen = None  # the parameters' layout may be another

    def _record(self, gradients: Sequence[Tensor | None], controls: Controls) -> None:
        """A step under capture: its table of gradients is filled when `capture` ends."""
        if self._recording is None:
            raise RuntimeError("a step in a CUDA graph needs `with launch.capture(), torch.cuda.graph(graph):`")
        tables, addresses = self._recording
        if len(addresses) == len(tables):
            raise RuntimeError(f"only {len(tables)} steps were announced: launch.capture(steps=...)")
        missing = [index for index, g in enumerate(gradients) if g is None]
        if missing:
            raise RuntimeError(f"parameters {missing} have no gradient: the graph would never step them")
        if self._facts() != self._placed:
            raise RuntimeError("a parameter or moment has moved since launch.capture() began")
        there = arranged(gradients, self.parameters)
        if controls.kinds() not in self._loaded:
            raise RuntimeError("nothing can be compiled under capture: launch.prepare(...) with these arguments first")
        self._graphs.append((tables, controls))
        addresses.append([g.data_ptr() for g in there if g is not None])
        self._start(len(self._blocks), tables[len(addresses) - 1], controls)

    def _controls(self, rows: Tensor, live: Tensor | None, scale: Tensor | None, clock: Tensor | None) -> Controls:
        controls = Controls(rows if clock is not None else rows[None], live, scale, clock)
        controls.refuse_unserved(self.device, max(self.groups) + 1, self.trials)
        return controls

    def _start(self, programs: int, table: Tensor, controls: Controls) -> None:
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
                enable_fp_fusion=False,
            )
        self._loaded[controls.kinds()] = compiled
