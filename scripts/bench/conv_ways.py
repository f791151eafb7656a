"""Convolutions of a stack and ways to compute them, for `python scripts/bench conv`: `calls(way, shape, trials, ...)`.

grouped: one convolution of as many groups as trials, channels last. first: the same, channels first. lanes: as many
ordinary convolutions on the engine's streams (`runner.models.branches`), and dense the same for one trial. bmm: windows
written out and one batched product, forward only, which is what the windows cost at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models.branches import Branches
from scripts.bench.devices import CUDA

DEVICE = torch.device("cuda" if CUDA else "cpu")
PASSES = ("fwd", "dx", "dw")
KINDS = ("grouped", "first", "lanes", "bmm", "dense")
Call = Callable[[], object]


class Convolution(NamedTuple):
    """Of one trial: `inputs` and `outputs` are channels, `height` that of the square image."""

    inputs: int
    outputs: int
    kernel: int
    height: int
    stride: int

    @property
    def size(self) -> int:
        """Height of what comes out."""
        return (self.height - 1) // self.stride + 1

    def flops(self, batch: int) -> int:
        """Floating-point operations of one pass over `batch` images: multiplications and additions."""
        return 2 * self.inputs * self.outputs * self.kernel**2 * self.size**2 * batch


# A shape that two networks share is measured for the first.
NETS: dict[str, list[Convolution]] = {
    "16d": [  # the 26 2x16d
        Convolution(3, 16, 3, 32, 1),
        Convolution(16, 16, 3, 32, 1),
        Convolution(16, 32, 3, 32, 2),
        Convolution(16, 16, 1, 32, 2),
        Convolution(32, 32, 3, 16, 1),
        Convolution(32, 64, 3, 16, 2),
        Convolution(64, 64, 3, 8, 1),
    ],
    "resnet20": [  # of width 16; all else that it has is among those of 16d
        Convolution(16, 32, 1, 32, 2),
        Convolution(32, 64, 1, 16, 2),
    ],
    "64d": [  # the 26 2x64d
        Convolution(16, 64, 3, 32, 1),
        Convolution(64, 64, 3, 32, 1),
        Convolution(64, 128, 3, 32, 2),
        Convolution(128, 128, 3, 16, 1),
        Convolution(256, 256, 3, 8, 1),
    ],
}


class Grouped:
    """`trials` convolutions as one of as many groups, and its two gradients, by input (dx) and by weight (dw).

    `shape`: of one trial's; `batch`: images of each; `dtype` and memory `layout`: of all tensors. The other classes
    take the same arguments and have the same methods.
    """

    def __init__(self, shape: Convolution, trials: int, batch: int, dtype: torch.dtype, layout: torch.memory_format):
        c, k, n, h, self.stride = shape
        self.trials, self.padding = trials, n // 2
        image = torch.randn(batch, trials * c, h, h, device=DEVICE, dtype=dtype)
        weight = torch.randn(trials * k, c, n, n, device=DEVICE, dtype=dtype) / (c * n * n) ** 0.5
        gradient = torch.randn(batch, trials * k, shape.size, shape.size, device=DEVICE, dtype=dtype)
        parts = (image, weight, gradient)
        self.image, self.weight, self.gradient = (t.contiguous(memory_format=layout) for t in parts)

    def fwd(self) -> Tensor:
        return F.conv2d(self.image, self.weight, None, self.stride, self.padding, 1, self.trials)

    def dx(self) -> object:
        return self._gradients([True, False, False])

    def dw(self) -> object:
        return self._gradients([False, True, False])

    def _gradients(self, wanted: list[bool]) -> object:
        two = ([self.stride] * 2, [self.padding] * 2, [1, 1], False, [0, 0], self.trials, wanted)
        return torch.ops.aten.convolution_backward(self.gradient, self.image, self.weight, None, *two)


class Lanes:
    """`trials` ordinary convolutions, on streams that may run side by side."""

    def __init__(self, shape: Convolution, trials: int, batch: int, dtype: torch.dtype, layout: torch.memory_format):
        self.parts = [Grouped(shape, 1, batch, dtype, layout) for _ in range(trials)]

    def fwd(self) -> object:
        return self._all([part.fwd for part in self.parts])

    def dx(self) -> object:
        return self._all([part.dx for part in self.parts])

    def dw(self) -> object:
        return self._all([part.dw for part in self.parts])

    def _all(self, calls: Sequence[Call]) -> object:
        results = []
        with Branches(DEVICE, len(calls)) as fork:
            for i, call in enumerate(calls):
                with fork(i):
                    results.append(call())
        return results


class Windows:
    """The forward pass as a batched product [R, B * H * W, kernel * kernel * C] by [R, kernel * kernel * C, K]."""

    def __init__(self, shape: Convolution, trials: int, batch: int, dtype: torch.dtype, layout: torch.memory_format):
        c, k, self.kernel, self.height, self.stride = shape
        taps = self.kernel**2 * c
        self.image = torch.randn(batch, self.height, self.height, trials, c, device=DEVICE, dtype=dtype)
        self.weight = torch.randn(trials, taps, k, device=DEVICE, dtype=dtype) / taps**0.5

    def fwd(self) -> object:
        border, step, kernel = self.kernel // 2, self.stride, range(self.kernel)
        stop = step * ((self.height - 1) // step) + 1
        x = F.pad(self.image, (0, 0, 0, 0, border, border, border, border))
        windows = [x[:, i : i + stop : step, j : j + stop : step] for i in kernel for j in kernel]
        return torch.bmm(torch.cat(windows, -1).flatten(0, 2).transpose(0, 1), self.weight)


def calls(kind: str, shape: Convolution, trials: int, batch: int, dtype: torch.dtype) -> dict[str, Call]:
    """The passes of a way, of KINDS, by name; arguments as in `Grouped`, RuntimeError where torch has no memory for it.

    The gradient of the images themselves is never needed.
    """
    layout = torch.contiguous_format if kind == "first" else torch.channels_last
    make = {"lanes": Lanes, "dense": Lanes, "bmm": Windows}.get(kind, Grouped)
    made = make(shape, trials, batch, dtype, layout)
    wanted = [what for what in PASSES if not (what == "dx" and shape.inputs == 3)]
    return {what: getattr(made, what) for what in wanted if hasattr(made, what)}
