"""Ways to compute the step of a stack, for `scripts/bench_stack.py`: `way(name, trials, dataset, device)`.

stack: the engine's; a convolution of all trials is one grouped convolution, channels last, or what is faster on a GPU
(`runner.models.convolve`). nchw: the same, channels first. bmm: a convolution of all trials is one batched product of
matrices, over windows that are written out. lanes: the engine's too, an ordinary network for each trial
(`runner.models.lanes`). With +compile the network goes through torch.compile, with +benchmark cuDNN tries its
algorithms (`torch.backends.cudnn.benchmark`, set where the step is taken). The optimizer steps all trials at once in
every way, and all give the same networks, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.data.dataset import Dataset
from runner.models import layers
from runner.models.lanes import Lanes
from runner.models.sizes import FULL, LANES
from runner.training.stack import Stack
from runner.trials import Trial


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


def parsed(name: str) -> tuple[str, str]:
    """A way's kind and what comes after the "+"; ValueError for an unknown one."""
    kind, _, more = name.partition("+")
    if more not in ("", "compile", "benchmark") or kind not in ("stack", "lanes", *PATCHES):
        raise ValueError(f"way {name!r}: must be stack, lanes, nchw or bmm, and nothing, +compile or +benchmark")
    return kind, more


def way(name: str, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> Stack:
    """A stack of `trials` of one shape whose step is computed in the way of this name."""
    kind, more = parsed(name)
    with mock.patch.object(layers, "filters", filters_first if kind == "nchw" else layers.filters):
        stack = Stack([trial.computed(LANES if kind == "lanes" else FULL) for trial in trials], dataset, device)
    call: Any = stack.network
    if more == "compile" and isinstance(call, Lanes):
        call.call = torch.compile(call.lane, fullgraph=True, dynamic=False)
    elif more == "compile":
        call = torch.compile(call, fullgraph=True, dynamic=False)
    stack.step.model = Patched(call, *PATCHES[kind]) if kind in PATCHES else call
    return stack
