"""The classes' way on CUDA, run by Triton's interpreter on CPU tensors; `test_kernel_semantics` runs this file.

By itself: TRITON_INTERPRET=1 python -m pytest tests/simulators/interpreted_device.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import optim

SHAPES = [(3, 16, 2), (5,), (40,), (4, 3, 2, 5)]
MAKES: dict[str, Callable[[list[Tensor]], Any]] = {
    "Adam": lambda p: optim.Adam(p, 1e-2, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1),
    "AdamW of little decay": lambda p: optim.AdamW(p, 1e-3, weight_decay=1e-3),
    "SGD": lambda p: optim.SGD(p, 1e-2, 0.9, weight_decay=0.1),
    "SGD plain": lambda p: optim.SGD(p, 1e-2),
    "SGDW": lambda p: optim.SGDW(p, 1e-2, 0.9, weight_decay=1e-3),
}


def through_the_kernel(optimizer: Any) -> None:
    """`optimizer.step()` as it goes for parameters on CUDA."""
    for cohort, part, numbers, share in optimizer._ready():
        cohort.count(part.places)
        decay = cohort.of_all(cohort.due(share, part.places), part.places)
        with torch.no_grad():
            optimizer.step_on_cuda(cohort, decay, numbers)


def trained(make: Callable[[list[Tensor]], Any], step: Callable[[Any], None], edits: bool) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    parameters = [torch.randn(s, generator=g).requires_grad_() for s in SHAPES]
    optimizer = make(parameters)
    for count in range(12):
        for i, p in enumerate(parameters):
            gradient = torch.randn(p.shape, generator=g)
            p.grad = None if edits and count > 2 and (count + i) % 3 == 0 else gradient
        if edits and count == 7:
            parameters[3].data = parameters[3].data.contiguous(memory_format=torch.channels_last)
            if "step" in (state := optimizer.state[parameters[1]]):
                state["step"].zero_()
                state["exp_avg"].zero_()
        step(optimizer)
    return [p.detach() for p in parameters]


@pytest.mark.parametrize("edits", [False, True], ids=["all gradients", "gaps and edits"])
@pytest.mark.parametrize("name", MAKES)
def test_the_kernel_steps_what_the_cpu_steps(name: str, edits: bool) -> None:
    mine = trained(MAKES[name], through_the_kernel, edits)
    theirs = trained(MAKES[name], lambda optimizer: optimizer.step(), edits)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-6)
