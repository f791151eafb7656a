"""Ways to compute the step of a stack, for `scripts/bench_stack.py`: `way(name, trials, dataset, device)`.

stack: the engine's; a convolution of all trials is one grouped convolution, channels last. nchw: the same, channels
first. bmm: a convolution of all trials is one batched product of matrices, over windows that are written out.
lanes-N: N trials at a time, each part on a CUDA stream of its own, in one CUDA graph whose branches may run side by
side; lanes-1 has ordinary convolutions. With +compile the network goes through torch.compile, with +benchmark cuDNN
tries its algorithms (`torch.backends.cudnn.benchmark`, set where the step is taken). The optimizer steps all trials at
once in every way, and all give the same networks, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from runner.data.dataset import Dataset
from runner.models import layers
from runner.models.build import Model, build
from runner.training.stack import Stack
from runner.trials import Trial

STREAMS = 16  # more branches than this share them


class Lanes(nn.Module):
    """The stacked network `model`, computed in parts of `size` trials: same weights, same interface.

    Both map x [R, B, ...] and noise [R, B, width] or None to logits [R, B, ...]. `small`, of `size` trials, lends its
    shape only.
    """

    def __init__(self, model: Model, small: Model, size: int, compiled: bool = False) -> None:
        super().__init__()
        self.model, self.lane, self.size, self.noise_width = model, Lane(small), size, model.noise_width
        weight = next(model.parameters())
        trials, device = len(weight), weight.device
        if trials % size:
            raise ValueError(f"{trials} trials cannot be split into parts of {size}")
        self.parts = trials // size
        count = min(STREAMS, self.parts) if device.type == "cuda" else 0
        self.streams = [torch.cuda.Stream(device) for _ in range(count)]
        self.call: Callable[..., Tensor] = self.lane
        if compiled:
            self.call = torch.compile(self.lane, fullgraph=True, dynamic=False)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        self.lane.small.train(self.training)
        # Split, not sliced: the gradients of the parts are then put together by one copy.
        weights = [p.split(self.size) for p in self.model.parameters()]
        buffers = [b.split(self.size) for b in self.model.buffers()]
        found = []
        for part in range(self.parts):
            here = slice(part * self.size, (part + 1) * self.size)
            with self.branch(part):
                mine = ([w[part] for w in weights], [b[part] for b in buffers])
                found.append(self.call(*mine, x[here], None if noise is None else noise[here]))
        for stream in self.streams:
            torch.cuda.current_stream().wait_stream(stream)
        return torch.cat(found)

    def branch(self, part: int) -> AbstractContextManager:
        if not self.streams:
            return nullcontext()
        stream = self.streams[part % len(self.streams)]
        if part < len(self.streams):
            stream.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(stream)


class Lane(nn.Module):
    """A network that is handed its weights: one compilation serves all parts of a stack."""

    def __init__(self, small: Model) -> None:
        super().__init__()
        self.small = small
        self.names = [name for name, _ in small.named_parameters()]
        self.buffer_names = [name for name, _ in small.named_buffers()]

    def forward(self, weights: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, noise: Tensor | None) -> Tensor:
        tensors = dict(zip(self.names, weights, strict=True)) | dict(zip(self.buffer_names, buffers, strict=True))
        return functional_call(self.small, tensors, (x, noise))


class Patched(nn.Module):
    """`call` with one function of the layers exchanged for another."""

    def __init__(self, call: Callable[..., Tensor], owner: Any, name: str, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.call, self.where, self.function = call, (owner, name), function

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        with mock.patch.object(*self.where, self.function):
            return self.call(x, noise)


def packed_first(images: Tensor) -> Tensor:
    """`layers.pack`, channels first."""
    return images.transpose(0, 1).flatten(1, 2).contiguous()


def filters_first(trials: int, outputs: int, inputs: int, kernel: int) -> Tensor:
    """`layers.filters`, channels first."""
    return torch.zeros(trials, outputs, inputs, kernel, kernel)


def product(self: layers.Conv2d, x: Tensor) -> Tensor:
    """`layers.Conv2d.forward` as a product [R, B * H * W, kernel * kernel * C] by [R, kernel * kernel * C, O]."""
    _, outputs, inputs, kernel, _ = self.weight.shape
    batch, _, height, width = x.shape
    rows, columns = ((n - 1) // self.stride + 1 for n in (height, width))
    channels_last = F.pad(x, (self.padding,) * 4).permute(0, 2, 3, 1).unflatten(-1, (self.trials, inputs))
    stop, step = self.stride * (rows - 1) + 1, self.stride
    windows = [
        channels_last[:, i : i + stop : step, j : j + self.stride * (columns - 1) + 1 : step]
        for i in range(kernel)
        for j in range(kernel)
    ]
    flat = torch.cat(windows, -1).flatten(0, 2).transpose(0, 1)
    weight = self.weight.permute(0, 3, 4, 2, 1).reshape(self.trials, -1, outputs)
    y = torch.bmm(flat, weight).transpose(0, 1)
    return y.reshape(batch, rows, columns, -1).permute(0, 3, 1, 2)


PATCHES: dict[str, tuple[Any, str, Callable[..., Tensor]]] = {
    "nchw": (layers, "pack", packed_first),
    "bmm": (layers.Conv2d, "forward", product),
}


def parsed(name: str) -> tuple[str, int, str]:
    """A way's kind ("lanes" for lanes-N), N or 0, and what comes after the "+"; ValueError for an unknown one."""
    kind, _, more = name.partition("+")
    lanes, _, size = kind.partition("-")
    several = lanes == "lanes" and size.isdecimal() and int(size) > 0
    if more not in ("", "compile", "benchmark") or not (several or kind in ("stack", *PATCHES)):
        raise ValueError(f"way {name!r}: must be stack, nchw, bmm or lanes-N, and nothing, +compile or +benchmark")
    return (lanes, int(size), more) if several else (kind, 0, more)


def way(name: str, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> Stack:
    """A stack of `trials` of one shape whose step is computed in the way of this name."""
    kind, size, more = parsed(name)
    with mock.patch.object(layers, "filters", filters_first if kind == "nchw" else layers.filters):
        stack = Stack(trials, dataset, device)
    call: Any = stack.model
    if size:
        with torch.device("meta"):
            small = build(trials[0].model, dataset, size)
        call = Lanes(stack.model, small, size, more == "compile")
    elif more == "compile":
        call = torch.compile(stack.model, fullgraph=True, dynamic=False)
    stack.step.model = Patched(call, *PATCHES[kind]) if kind in PATCHES else call  # type: ignore[assignment]
    return stack
