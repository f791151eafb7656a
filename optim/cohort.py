"""Parameters that an optimizer steps together: `Cohort`, and `in_memory_order` for those that do not lie row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optim.release import Ledger

SMALL = 4096  # elements; below this mean size sharing a tensor out to threads takes longer than stepping it


class Cohort:
    """Parameters of a group that have been stepped together ever since: one step count, one ledger of decay."""

    def __init__(self, group: dict[str, Any], parameters: list[Tensor], count: float, ledger: Ledger) -> None:
        self.group, self.parameters, self.ledger = group, parameters, ledger
        self.count = torch.tensor(count, dtype=torch.float32, device="cpu")  # as in torch.optim
        self.counts = [self.count] * len(parameters)
        self._count = self.count.numpy()  # the same memory: a tenth of the time of count.add_(1)
        self.is_small = sum(p.numel() for p in parameters) < SMALL * len(parameters)
        self.moments: list[list[Tensor]] = []  # one list per name in `Optimizer.state_names`
        self.started = False
        self.launch: Any = None
        self.spare: list[Tensor] | None = None

    def advance(self) -> None:
        """Count one step more."""
        self._count.fill(self._count.item() + 1)

    def scratch(self, parameters: list[Tensor]) -> list[Tensor]:
        """Buffers that hold nothing from step to step, for a kernel that wants some."""
        if self.spare is None:
            self.spare = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in parameters]
        return self.spare

    def split(self) -> tuple[Cohort, Cohort]:
        """Those with a gradient, and those without."""
        parts: tuple[list[Tensor], list[Tensor]] = ([], [])
        for p in self.parameters:
            parts[p.grad is None].append(p)
        first, second = (Cohort(self.group, part, self.count.item(), self.ledger) for part in parts)
        return first, second


def in_memory_order(*tensors: list[Tensor]) -> tuple[list[Tensor], ...]:
    """(parameters, gradients, *moments) with their axes so permuted that all are contiguous; gradients may be copies.

    torch's fused operators pair the elements of tensors as they lie in memory, whatever their strides say.
    """
    ordered: tuple[list[Tensor], ...] = tuple([] for _ in tensors)
    for p, gradient, *moments in zip(*tensors, strict=True):
        axes = sorted(range(p.dim()), key=p.stride, reverse=True)
        if not p.permute(axes).is_contiguous():
            raise TypeError(f"a parameter of shape {tuple(p.shape)} overlaps itself or has gaps; clone() it")
        together = [p.permute(axes), gradient.permute(axes).contiguous(), *(m.permute(axes) for m in moments)]
        for done, tensor in zip(ordered, together, strict=True):
            done.append(tensor)
    return ordered
