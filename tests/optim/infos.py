"""What is tested of each class as PyTorch tests its own: `INFOS`, with configurations that PyTorch's tests name.

In the sense of `torch.testing._internal.common_optimizers.OptimizerInfo`, whose configurations and error inputs are
used, so that they are not ours. What we refuse of them is counted there: `Info.refused`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import optim
from tests.optim.torch_sides import DecayedSGD, HandLookahead

absent = importlib.util.find_spec("expecttest") is None
if absent:  # PyTorch's tests derive a class from one in it, of which nothing is used here
    sys.modules["expecttest"] = ModuleType("expecttest")
    sys.modules["expecttest"].TestCase = unittest.TestCase  # type: ignore[attr-defined]
from torch.testing._internal import common_optimizers as theirs  # noqa: E402

if absent:
    del sys.modules["expecttest"]

Numbers = dict[str, Any]
UNSERVED = {"amsgrad", "maximize", "dampening", "nesterov"}


@dataclass(frozen=True)
class Info:
    """A class of ours, a for-loop that computes the same, and where PyTorch's configurations come from."""

    ours: Callable[..., Any]
    forloop: Callable[..., Any]
    inputs: Callable[..., Any]
    errors: Callable[..., Any]
    takes: frozenset[str]  # names of numbers that the constructor has
    gaps: bool = False  # whether parameters may have gaps in memory
    exact: Numbers | None = None  # further options with which it is the for-loop

    def given(self) -> list[Numbers]:
        """PyTorch's configurations of which the constructor has all names."""
        found = [one.kwargs for one in self.inputs(device="cpu", dtype=torch.float32)]
        return [numbers for numbers in found if set(numbers) <= self.takes]

    def served(self) -> list[Numbers]:
        return [numbers for numbers in self.given() if not _unserved(numbers)]

    def refused(self) -> list[Numbers]:
        return [numbers for numbers in self.given() if _unserved(numbers)]

    def make(self, parameters: Any, numbers: Numbers) -> Any:
        return self.ours(parameters, **numbers, **(self.exact or {}))


def _unserved(numbers: Numbers) -> set[str]:
    return {name for name, value in numbers.items() if name in UNSERVED or isinstance(value, Tensor)}


def _takes(kind: type) -> frozenset[str]:
    return frozenset(inspect.signature(kind).parameters)


def ahead(parameters: Any, **numbers: Any) -> optim.Lookahead:
    return optim.Lookahead(optim.AdamW(parameters, **numbers), 3, 0.5)


def ahead_by_hand(parameters: Any, **numbers: Any) -> Any:
    return HandLookahead(torch.optim.AdamW(parameters, foreach=False, **numbers), 3, 0.5)


def _forloop(kind: Callable[..., Any]) -> Callable[..., Any]:
    return lambda parameters, **numbers: kind(parameters, foreach=False, **numbers)


ADAM = theirs.optim_inputs_func_adam, theirs.optim_error_inputs_func_adam
ADAMW = theirs.optim_inputs_func_adamw, theirs.optim_error_inputs_func_adamw
SGD = theirs.optim_inputs_func_sgd, theirs.optim_error_inputs_func_sgd
PLAIN = {"release": False}
INFOS = {
    "Adam": Info(optim.Adam, _forloop(torch.optim.Adam), *ADAM, _takes(optim.Adam)),
    "AdamW": Info(optim.AdamW, _forloop(torch.optim.AdamW), *ADAMW, _takes(optim.AdamW), exact=PLAIN),
    "SGD": Info(optim.SGD, _forloop(torch.optim.SGD), *SGD, _takes(optim.SGD)),
    "SGDW": Info(optim.SGDW, _forloop(DecayedSGD), *SGD, _takes(optim.SGDW), exact=PLAIN),
    "SparseAdamW": Info(optim.SparseAdamW, _forloop(torch.optim.AdamW), *ADAMW, _takes(optim.SparseAdamW), gaps=True),
    "LOMO": Info(optim.LOMO, _forloop(DecayedSGD), *SGD, _takes(optim.LOMO), gaps=True),
    "Lookahead": Info(ahead, ahead_by_hand, *ADAMW, _takes(optim.AdamW), exact=PLAIN),
}


def pair(gaps: bool = False, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A weight [10, 5] and a bias [10]; with `gaps` they are parts of larger tensors."""
    g = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(10, 5, 2, generator=g, dtype=dtype), torch.randn(10, 2, generator=g, dtype=dtype)
    if not gaps:
        return weight[..., 0].clone().contiguous().requires_grad_(), bias[..., 0].clone().contiguous().requires_grad_()
    return weight[..., 0].requires_grad_(), bias[..., 0].requires_grad_()


def loss_of(weight: Tensor, bias: Tensor) -> Tensor:
    return (weight.mv(torch.linspace(-1, 1, 5, dtype=weight.dtype)) + bias).square().sum()


def train(optimizer: Any, weight: Tensor, bias: Tensor, steps: int) -> Tensor:
    """Some steps downhill; the last loss."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(weight, bias)
        loss.backward()
        optimizer.step()
    return loss_of(weight, bias)
