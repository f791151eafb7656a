"""What a trial has to compute and to move, and how fast this machine does either: `cost(...)` and `ceilings(...)`.

Floating-point operations are those of torch.utils.flop_counter. Bytes are the inputs and outputs of every operator that
eager execution runs, views excepted, as if nothing stayed in a cache, and 28 per parameter and step for the optimizer:
a bound where tensors are large, too many where a cache holds them, so that a share of more than 1 is possible there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from runner.training.precision import DTYPES
from scripts.bench.devices import Memory, clocked
from scripts.bench.step_ways import FUSED
from scripts.parity.plain_models import Shape, network

CONVOLUTIONS = ("resnet", "shakeshake")


@dataclass(frozen=True)
class Cost:
    """Of one trial, evaluations included."""

    flops: float
    bytes: float
    evaluation: float  # share of the FLOPs
    parameters: int


@dataclass(frozen=True)
class Ceilings:
    """FLOPs and bytes in a second."""

    flops: float
    bytes: float

    def seconds(self, cost: Cost) -> float:
        """The least time in which this machine computes and moves a `cost`."""
        return max(cost.flops / self.flops, cost.bytes / self.bytes)


class Traffic(TorchDispatchMode):
    """Sums the bytes of all tensors that operators take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not view and "empty" not in func.__name__ and func.namespace != "prim":  # which asks for a tensor's device
            tensors = [t for t in tree_iter((args, kwargs, out)) if isinstance(t, Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out


def cost(
    model: Mapping[str, Any], shape: Shape, batch: int, train: int, evaluated: int, epochs: int, precision: str
) -> Cost:
    """What a trial has to compute and to move.

    Args:
        model: the keys of configs/model.
        shape: of an example.
        batch: examples in a batch.
        train: examples in each epoch.
        evaluated: examples that are evaluated, in all.
        epochs: how many.
        precision: of products, "fp32" or "bf16".
    """
    # Tensors without memory cost nothing to count with. On "cpu", for autocast passes over those of the meta device.
    with FakeTensorMode():
        return _cost(network(model, shape), shape, min(batch, train), train, evaluated, epochs, precision)


def _cost(
    plain: torch.nn.Module, shape: Shape, batch: int, train: int, evaluated: int, epochs: int, precision: str
) -> Cost:
    kind = torch.int64 if shape.vocabulary else torch.float32
    x = torch.zeros(batch, *shape.example, dtype=kind)
    y = torch.zeros(batch, dtype=torch.int64)
    low = torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32")

    def learn() -> None:
        plain.train()
        plain.zero_grad()
        with low:
            logits = plain(x)
        F.cross_entropy(logits, y).backward()

    @torch.no_grad()
    def answer() -> None:
        plain.eval()
        with low:
            plain(x)

    (learned, moved), (answered, read) = counted(learn), counted(answer)
    parameters = sum(p.numel() for p in plain.parameters())
    steps = epochs * math.ceil(train / batch)
    often, looks = epochs * train / batch, evaluated / batch
    flops = learned * often + answered * looks
    size = moved * often + FUSED * parameters * steps + read * looks
    return Cost(flops, size, answered * looks / flops, parameters)


def counted(call: Callable[[], None]) -> tuple[int, int]:
    """FLOPs and bytes of a call."""
    # As products of matrices: not every form of fused attention is known to the counter.
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH):
        call()
    with Traffic() as traffic:
        call()
    return flops.get_total_flops(), traffic.bytes


def ceilings(device: torch.device, model: str, precision: str) -> Ceilings:
    """The rates of a large product of matrices in this precision and of a large copy, medians of five.

    `device`: that is measured; `model`: the name of the network, whose convolutions may use TF32; `precision`: as
    above.
    """
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[precision]) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    # What float32 convolutions may use, so that it is a ceiling for them.
    torch.backends.cuda.matmul.allow_tf32 = before or (model in CONVOLUTIONS and torch.backends.cudnn.allow_tf32)
    try:
        product = _seconds(lambda: torch.mm(a, b), device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    memory = Memory(device)
    return Ceilings(2 * size**3 / product, memory.moved / _seconds(memory.copy, device))


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    times = [clocked(call, device) for _ in range(7)]
    return statistics.median(times[2:]) / 1e6
